/** Published keys behind a real HTTP endpoint, and a gateway that trusts them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { makeSigner, type Signer } from "../../test/support/tokens.ts";
import { connectClient } from "../../test/support/ws-client.ts";
import { fetchKeySet } from "./jwks.ts";

/** An identity provider. `answer` is what it says next. */
interface Provider {
  readonly url: string;
  answer: (request: Request) => Response | Promise<Response>;
  asked: number;
  stop(): Promise<void>;
}

const setOf = (...signers: readonly Signer[]): Response => Response.json({ keys: signers.map(({ jwk }) => jwk) });

function startProvider(...signers: readonly Signer[]): Provider {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      provider.asked++;
      return provider.answer(request);
    },
  });
  const provider: Provider = {
    url: `http://127.0.0.1:${server.port}/.well-known/jwks.json`,
    answer: () => setOf(...signers),
    asked: 0,
    stop: () => server.stop(true),
  };
  return provider;
}

const first = makeSigner("RS256", "first");
const second = makeSigner("ES256", "second");

async function userOf(server: TestServer, token: string): Promise<string | number | undefined> {
  const client = await connectClient(server.url, { connect: false });
  const answer = await client.ask({ type: "connect", token });
  client.terminate();
  if (answer.type === "error") return answer.code;
  return answer.type === "connected" ? answer.user : answer.type;
}

/** An answer that never ends. */
function drip(): Response {
  return new Response(
    new ReadableStream({
      async pull(controller) {
        await Bun.sleep(50);
        controller.enqueue(new TextEncoder().encode(" "));
      },
    }),
  );
}

/** What a promise is rejected with, as words. */
function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "it was not rejected",
    (error: unknown) => String(error),
  );
}

describe("[CO-17] a gateway that trusts a published set", () => {
  let provider: Provider;
  let server: TestServer;
  beforeAll(async () => {
    provider = startProvider(first);
    server = await startServer({
      "token-secret": "",
      "jwks-url": provider.url,
      "jwks-cache-seconds": "1",
      "token-audience": "chat",
    });
  });
  afterAll(async () => {
    await server.stop();
    await provider.stop();
  });

  test("takes its tokens, by `connect`, by query and for one channel, and nobody else's", async () => {
    const claims = { sub: "bob", aud: "chat" };
    expect(await userOf(server, await first.sign(claims))).toBe("bob");
    expect(await userOf(server, await first.sign({ sub: "bob" }))).toBe(300);
    expect(await userOf(server, await makeSigner("RS256", "first").sign(claims))).toBe(300);
    expect(await userOf(server, await server.token(claims))).toBe(300);
    const page = await connectClient(server.url, { query: { token: await first.sign(claims), channels: "news" } });
    expect(page.user).toBe("bob");
    page.terminate();
  });

  test("a new key is taken as soon as it is published, an old one goes, and while the provider is down those that are known stay", async () => {
    const bob = { sub: "bob", aud: "chat" };
    expect(await userOf(server, await first.sign(bob))).toBe("bob");
    provider.answer = () => setOf(second);
    const old = await first.sign(bob);
    // After a second the set is old; the first one that comes then has it fetched, in each process.
    await Bun.sleep(1100);
    for (let n = 0; n < 10; n++) await userOf(server, old);
    await Bun.sleep(300);
    expect(await userOf(server, old)).toBe(300);
    expect(await userOf(server, await second.sign(bob))).toBe("bob");
    provider.answer = () => new Response("later", { status: 503 });
    await Bun.sleep(2100);
    await userOf(server, await second.sign(bob));
    await Bun.sleep(300);
    expect(await userOf(server, await second.sign(bob))).toBe("bob");
    expect(await userOf(server, await makeSigner("ES256", "third").sign(bob))).toBe(201);
    // A client that has its token in the query is told to come back.
    const query = { token: await makeSigner("ES256", "third").sign(bob) };
    const page = await connectClient(server.url, { connect: false, query });
    expect((await page.closed).code).toBe(4204);
  });
});

describe("[CO-17] fetching", () => {
  const never = new AbortController().signal;

  async function fetchFrom(answer: Provider["answer"], signal = never): Promise<string> {
    const provider = startProvider();
    provider.answer = answer;
    try {
      return await fetchKeySet(provider.url, signal);
    } finally {
      await provider.stop();
    }
  }

  test("the text, whole", async () => {
    expect(await fetchFrom(() => new Response('{"keys":[]}'))).toBe('{"keys":[]}');
  });

  test("no redirect is followed", async () => {
    const elsewhere = startProvider(first);
    for (const status of [301, 302, 303, 307, 308]) {
      const answer = (): Response => new Response(null, { status, headers: { location: elsewhere.url } });
      expect(await failureOf(fetchFrom(answer))).toContain(`answered ${status}`);
    }
    expect(elsewhere.asked).toBe(0);
    await elsewhere.stop();
  });

  test("another status than 200 is none, whatever the body", async () => {
    for (const status of [204, 206, 400, 404, 500]) {
      const answer = (): Response =>
        status === 204 ? new Response(null, { status }) : new Response('{"keys":[]}', { status });
      expect(await failureOf(fetchFrom(answer))).toContain(`answered ${status}`);
    }
  });

  test("one that is huge is given up, also where it has no end", async () => {
    expect(await failureOf(fetchFrom(() => new Response("x".repeat(300_000))))).toContain("longer than");
    let sent = 0;
    const endless = (): Response =>
      new Response(
        new ReadableStream({
          async pull(controller) {
            await Bun.sleep(0);
            sent += 65_536;
            controller.enqueue(new Uint8Array(65_536));
          },
        }),
      );
    expect(await failureOf(fetchFrom(endless))).toContain("longer than");
    expect(sent).toBeLessThan(64 * 1024 * 1024);
  });

  test("one that drips, or never answers, ends with the time it has", async () => {
    expect(await failureOf(fetchFrom(drip, AbortSignal.timeout(400)))).toContain("TimeoutError");
    const silent = fetchFrom(() => new Promise(() => undefined), AbortSignal.timeout(400));
    expect(await failureOf(silent)).toContain("TimeoutError");
  });

  test("nobody there", async () => {
    const gone = startProvider();
    await gone.stop();
    expect(await failureOf(fetchKeySet(gone.url, never))).toContain("Error");
  });
});
