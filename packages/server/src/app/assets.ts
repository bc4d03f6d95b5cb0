/** Pages and scripts that the server carries along; their builders are loaded at the first request, not at the start. */
import type { Assets } from "../http/assets.ts";

export function demoAssets(demo: boolean): Assets {
  return {
    script: async () => (await import("@longwire/client/build")).buildGlobal(),
    demo: demo ? async () => (await import("@longwire/console/build")).buildDemo() : undefined,
  };
}
