/** Headless Chromium from Debian's package, driven by playwright-core. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium } from "playwright-core";

const EXECUTABLES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The page alone is of interest: no calls home, no sandbox (which root cannot have), no GPU. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** `more`: further flags of the command line. */
export async function startChromium(more: readonly string[] = []): Promise<Browser> {
  return await chromium.launch({ executablePath: executable(), args: [...FLAGS, ...more], headless: true });
}

/** With a profile in a folder that is new, and cookies of other sites allowed, which browsers keep back by now unless they are told. */
export async function startProfile(folder: string, more: readonly string[] = []): Promise<BrowserContext> {
  mkdirSync(join(folder, "Default"), { recursive: true });
  const preferences = { profile: { cookie_controls_mode: 0, block_third_party_cookies: false } };
  writeFileSync(join(folder, "Default", "Preferences"), JSON.stringify(preferences));
  const options = { executablePath: executable(), args: [...FLAGS, ...more], headless: true };
  return await chromium.launchPersistentContext(folder, options);
}

function executable(): string {
  const path = process.env["CHROMIUM"] ?? EXECUTABLES.find((one) => existsSync(one));
  if (path === undefined) throw new Error("there is no Chromium: install it, or name it with CHROMIUM=/path");
  return path;
}
