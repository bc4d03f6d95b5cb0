/** The SDK for a script tag and the demo page, built at the first request: a server that is only published to never pays for them. */
import { hash } from "node:crypto";
import { ReplyError } from "../base/failures.ts";

export interface Assets {
  script(): Promise<string>;
  /** Absent: there is no demo here. */
  readonly demo: (() => Promise<{ html: string; js: string; css: string }>) | undefined;
}

export type AssetHandler = (request: Request, parameters: Readonly<Record<string, string>>) => Promise<Response>;

interface Asset {
  readonly text: string;
  readonly etag: string;
}

const TYPES = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
};

// Everything from here and nothing from elsewhere; a chat page shows what strangers wrote.
const DEMO_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'",
].join("; ");

/** Path -> handler of GET. */
export function assetHandlers(assets: Assets): Map<string, AssetHandler> {
  const script = once(async () => assetOf(await assets.script()));
  const handlers = new Map<string, AssetHandler>();
  handlers.set("/longwire.js", async (request) =>
    // The application's pages live on other origins; as a module the script needs their leave.
    assetAnswer(request, await script(), TYPES.js, { "access-control-allow-origin": "*" }),
  );
  const { demo } = assets;
  if (demo === undefined) return handlers;
  const pages = once(async () => {
    const { html, js, css } = await demo();
    return { html: assetOf(html), js: assetOf(js), css: assetOf(css) };
  });
  const page: AssetHandler = async (request) =>
    assetAnswer(request, (await pages()).html, TYPES.html, { "content-security-policy": DEMO_POLICY });
  handlers.set("/demo", page);
  handlers.set("/demo/{file}", async (request, { file = "" }) => {
    const { js, css } = await pages();
    if (file.endsWith(".js")) return assetAnswer(request, js, TYPES.js);
    if (file.endsWith(".css")) return assetAnswer(request, css, TYPES.css);
    throw new ReplyError("notFound", file);
  });
  return handlers;
}

/** Builds at the first call; after a failed build the next call tries again. */
function once<T>(build: () => Promise<T>): () => Promise<T> {
  let built: Promise<T> | undefined;
  return async () => {
    built ??= build();
    try {
      return await built;
    } catch (error) {
      built = undefined;
      throw error;
    }
  };
}

function assetOf(text: string): Asset {
  return { text, etag: `"${hash("sha256", text, "base64url").slice(0, 22)}"` };
}

function assetAnswer(request: Request, asset: Asset, type: string, more?: Readonly<Record<string, string>>): Response {
  const headers = {
    "content-type": type,
    etag: asset.etag,
    // Ask each time: the answer is a 304, and a new release is seen at once.
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    ...more,
  };
  const known = request.headers.get("if-none-match");
  if (known !== null && holds(known, asset.etag)) return new Response(null, { status: 304, headers });
  return new Response(asset.text, { headers });
}

function holds(header: string, etag: string): boolean {
  return header.split(",").some((item) => {
    const tag = item.trim();
    return tag === "*" || tag === etag || tag === `W/${etag}`;
  });
}
