/** Headless Chromium from Debian's package, driven by playwright-core. */
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

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
  const executablePath = process.env["CHROMIUM"] ?? EXECUTABLES.find((path) => existsSync(path));
  if (executablePath === undefined) throw new Error("there is no Chromium: install it, or name it with CHROMIUM=/path");
  return await chromium.launch({ executablePath, args: [...FLAGS, ...more], headless: true });
}
