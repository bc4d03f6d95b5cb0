/** What answers on the HTTP port: the API, and long connections by path. Made anew at each reload, and for each server with topics of its own. */
import { originCheck } from "../auth/origin.ts";
import type { Logger } from "../base/log.ts";
import { asksWhoConnects, type Config } from "../config/schema.ts";
import { createHttp } from "../http/api.ts";
import { splitUrl } from "../http/router.ts";
import { requestViewer } from "../transports/request-view.ts";
import type { WebSocketFanout } from "../transports/websocket.ts";
import { demoAssets } from "./assets.ts";
import type { Composition } from "./compose.ts";
import { cookieParts } from "./cookies.ts";
import type { Door } from "./door.ts";
import { createMounts } from "./mounts.ts";
import type { Posture } from "./posture.ts";
import { swooleAnswer } from "./presets.ts";
import { VERSION } from "./version.ts";
import type { WebAnswer, WebServer } from "./web-server.ts";

/** How long a backend whose key was good may be silent, between two requests or within one. */
const KEPT_SECONDS = 120;

export interface WebParts {
  readonly config: Config;
  readonly posture: Posture;
  readonly parts: Pick<Composition, "gateway" | "control" | "engine" | "turn">;
  readonly door: Door;
  /** Whether it is still ready for more. */
  readonly leaving: () => boolean;
  readonly draining: () => boolean;
  readonly log: Logger;
}

export interface WebAnswers {
  readonly main: (fanout: WebSocketFanout) => WebAnswer;
  readonly swoole: (fanout: WebSocketFanout) => WebAnswer;
}

export function webAnswers({ config, posture, parts, door, leaving, draining, log }: WebParts): WebAnswers {
  const { gateway, control, engine, turn } = parts;
  const originAllowed = originCheck(config.origins, posture.loopback, posture.hasTokens);
  const cookies = cookieParts(config);
  const viewer = asksWhoConnects(config) ? requestViewer(config.hookHeaders, cookies.mayUseCookies) : undefined;
  const shared = { ...door, originAllowed, draining, viewer, ...cookies };
  return {
    swoole: (fanout) => swooleAnswer({ ...shared, fanout }),
    main(fanout) {
      // A fanout has one server, so it is the one that every request comes from.
      let own: WebServer | undefined;
      const http = createHttp({
        control,
        keys: posture.keys,
        recognised: (request) => own?.timeout(request, KEPT_SECONDS),
        log,
        health: () => (leaving() ? { ready: false, reason: "the server is going away" } : engine.health()),
        limits: config,
        assets: demoAssets(posture.demo),
        version: VERSION,
      });
      const mounts = createMounts({
        ...shared,
        gateway,
        turn,
        fanout,
        depthMax: config.depthMax,
        channelsMax: config.subscriptionsMax,
        bodyBytesMax: config.bodyBytesMax,
        compression: config.compression,
        retryMs: config.retryMs,
        messageBytesMax: config.messageBytesMax,
        queueBytesMax: config.queueBytesMax,
        pollWaitSecondsMax: config.pollWaitSecondsMax,
        ratchet: config.presets.includes("ratchet"),
      });
      return (request, server) => {
        own = server;
        const mount = mounts.find(splitUrl(request.url).path);
        return mount === undefined ? http(request) : mount(request, server);
      };
    },
  };
}
