/**
 * Names that are something else elsewhere: in JavaScript, in Unicode, in a header, in an event stream. On every way in they are names, or refused;
 * on both engines.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSocket } from "../../test/support/raw-socket.ts";
import { API_KEY, signToken, startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient } from "../../test/support/ws-client.ts";

const OWN_WORDS = ["__proto__", "constructor", "hasOwnProperty", "toString", "valueOf", "prototype", "then"];

const servers = new Map<string, TestServer>();
let folder = "";

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "longwire-names-"));
  const file = join(folder, "names.json");
  // As text: an object literal would set the prototype.
  const rules = `{"publish": "everybody", "historySize": 3, "subscribe": "everybody"}`;
  const own = OWN_WORDS.map((word) => `"${word}": ${rules}`).join(", ");
  writeFileSync(file, `{"namespaces": {${own}, "admin": {"subscribe": "nobody", "publish": "nobody"}}}`);
  for (const engine of ["memory", "sqlite"]) servers.set(engine, await startServer({ engine, config: file }));
});

afterAll(async () => {
  for (const server of servers.values()) await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

function serverOf(engine: string): TestServer {
  const server = servers.get(engine);
  if (server === undefined) throw new Error("no such engine");
  return server;
}

/** Nobody's prototype has learnt anything. */
function expectUnpolluted(): void {
  const plain = {} as Record<string, unknown>;
  expect([plain["polluted"], Object.keys(Object.prototype), typeof plain["toString"]]).toEqual([
    undefined,
    [],
    "function",
  ]);
}

for (const engine of ["memory", "sqlite"]) {
  describe(`words of JavaScript, ${engine}`, () => {
    for (const word of OWN_WORDS) {
      test(`[CH-9] ${word} as channel: published, subscribed, recovered, listed, emptied`, async () => {
        const server = serverOf(engine);
        const client = await connectClient(server.url);
        const subscribed = await client.request({ type: "subscribe", channel: word, presence: { [word]: 1 } });
        await server.publish(word, `{"${word}":{"polluted":1}}`, { name: word, key: word });
        const again = await server.publish(word, `{"${word}":{"polluted":1}}`, { name: word, key: word });
        const [message] = await client.received(word, 1);
        expect(message).toMatchObject({ channel: word, offset: subscribed.offset + 1, name: word });
        expect(again.offset).toBe(subscribed.offset + 1);
        const page = await client.request({ type: "history", channel: word });
        expect(page.publications).toHaveLength(1);
        const path = `/api/channels/${encodeURIComponent(word)}`;
        expect((await server.api("GET", path)).body).toMatchObject({ channel: word, kept: 1 });
        expect((await server.api("GET", `${path}/presence`)).body).toMatchObject({ sessions: 1 });
        expect((await server.api("GET", `/api/channels?prefix=${word}`)).body).toMatchObject({
          channels: [{ channel: word }],
        });
        client.terminate();
        const back = await connectClient(server.url);
        const { epoch, offset } = subscribed;
        expect(await back.request({ type: "subscribe", channel: word, since: { epoch, offset } })).toMatchObject({
          recovered: true,
        });
        await back.received(word, 1);
        back.terminate();
        expect((await server.api("DELETE", `${path}/history`)).status).toBe(204);
        expectUnpolluted();
      });

      test(`[CH-8] ${word} as user and device: a personal channel with its inbox, listed, spoken to, sent away`, async () => {
        const server = serverOf(engine);
        const token = await server.token({ sub: word, info: { name: word } });
        const client = await connectClient(server.url, { token, client: word });
        expect(client.user).toBe(word);
        await client.next((frame) => frame.type === "subscribed" && frame.channel === `@${word}`);
        const result = await server.api("POST", "/api/publish", { user: word, data: "for you" });
        expect(result.body).toMatchObject({ results: [{ channel: `@${word}`, online: true }] });
        const [message] = await client.received(`@${word}`, 1);
        await client.request({ type: "ack", channel: `@${word}`, offset: message?.offset ?? 0 });
        expect((await server.api("GET", `/api/users/${word}`)).body).toMatchObject({ user: word, online: true });
        expect((await server.api("GET", "/api/users")).body).toMatchObject({ users: [{ user: word }] });
        await server.api("POST", `/api/users/${word}/disconnect`, { reason: word });
        expect((await client.closed).reason).toContain(word);
        expectUnpolluted();
      });

      test(`[CH-6] ${word} as namespace has the options it was given, and nobody else has`, async () => {
        const server = serverOf(engine);
        for (let n = 0; n < 5; n++) await server.publish(`${word}:a`, n);
        expect((await server.api("GET", `/api/channels/${word}%3Aa`)).body).toMatchObject({ kept: 3 });
        const client = await connectClient(server.url);
        await client.request({ type: "publish", channel: `${word}:a`, data: 1 });
        expect(await client.ask({ type: "publish", channel: `${word}x:a`, data: 1 })).toMatchObject({ code: 302 });
        client.terminate();
      });

      test(`[AP-15] [AP-16] ${word} as key of shared state, of a session's data, and as a field that does not exist`, async () => {
        const server = serverOf(engine);
        const path = `/api/state/${word}`;
        expect((await server.api("GET", path)).status).toBe(404);
        expect((await server.api("POST", path, { set: { a: 1 } })).body).toMatchObject({ value: { a: 1 } });
        expect((await server.api("GET", path)).body).toMatchObject({ value: { a: 1 } });
        await server.api("DELETE", path);
        const client = await connectClient(server.url);
        const url = `${server.url}/api/sessions/${client.session}/data`;
        const headers = { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" };
        const patch = await fetch(url, { method: "PATCH", headers, body: `{"${word}": {"polluted": 1}}` });
        expect(await patch.text()).toContain(`"${word}":{"polluted":1}`);
        await fetch(url, { method: "PATCH", headers, body: `{"${word}": null}` });
        expect(await (await fetch(url, { headers })).text()).not.toContain(word);
        for (const body of [`{"channel":"a","data":1,"${word}":1}`, `{"${word}":{"channel":"a","data":1}}`]) {
          const refused = await fetch(`${server.url}/api/publish`, { method: "POST", headers, body });
          expect(await refused.json()).toMatchObject({ error: { code: 102 } });
        }
        const form = await fetch(`${server.url}/api/publish`, {
          method: "POST",
          headers: { ...headers, "content-type": "application/x-www-form-urlencoded" },
          body: `channel=a&data=1&${word}=1`,
        });
        expect(form.status).toBe(400);
        client.terminate();
        expectUnpolluted();
      });

      test(`[FR-4] ${word} as a field of commands, of their positions and of a query's is a name, or nothing`, async () => {
        const server = serverOf(engine);
        const client = await connectClient(server.url, { connect: false });
        client.send(`{"type":"connect","id":1,"${word}":{"polluted":1},"since":{"${word}":{"epoch":"e","offset":1}}}`);
        await client.next((frame) => frame.type === "connected");
        expect(await client.ask({ type: word })).toMatchObject({ code: 101 });
        client.terminate();
        const poll = await fetch(`${server.url}/poll?channels=${word}&wait=0&${word}=1`);
        const { cursor } = (await poll.json()) as { cursor: string };
        expect(Buffer.from(cursor, "base64url").toString()).toStartWith(`${word}=`);
        expect((await fetch(`${server.url}/poll?wait=0&channels=${word}&since=${cursor}`)).status).toBe(200);
        expectUnpolluted();
      });
    }
  });
}

describe("look-alikes", () => {
  /** Names that a person, a database or a file system might take for others: each with what it is taken for. */
  const ALIKE = [
    ["\u0430dmin:x", "Cyrillic a"],
    ["admin\uff1ax", "a colon of full width"],
    ["\uff41dmin:x", "a of full width"],
    ["admin\u200b:x", "a space without width"],
    ["admin\u00ad:x", "a soft hyphen"],
    ["ADMIN:x", "capitals"],
    ["admin%3Ax", "percent-encoded once more"],
    ["\u202enimda:x", "written from the right"],
  ] as const;

  for (const [name, what] of ALIKE) {
    test(`[CH-9] another name, in another namespace, without the publications of the one it looks like: ${what}`, async () => {
      const server = serverOf("memory");
      const client = await connectClient(server.url);
      expect(await client.ask({ type: "subscribe", channel: "admin:x" })).toMatchObject({ code: 109 });
      await client.request({ type: "subscribe", channel: name });
      await server.publish("admin:x", "secret");
      const { offset } = await server.publish(name, "not secret");
      const messages = await client.received(name, 1);
      expect(messages).toMatchObject([{ data: "not secret", offset }]);
      expect(client.messages("admin:x")).toEqual([]);
      client.terminate();
    });
  }

  const OTHER_FORMS = [
    ["e\u0301", "an accent of its own"],
    ["\u212b", "the sign for \u00c5ngstr\u00f6m"],
    ["\u1112\u1161\u11ab", "Hangul in parts"],
    ["\u0958", "a composition that is excluded"],
  ] as const;

  for (const [name, what] of OTHER_FORMS) {
    test(`[CH-5] a name in another normal form is refused, not converted: ${what}`, async () => {
      const server = serverOf("memory");
      const client = await connectClient(server.url);
      expect(await client.ask({ type: "subscribe", channel: name })).toMatchObject({ code: 103 });
      expect((await server.api("POST", "/api/publish", { channel: name, data: 1 })).body).toMatchObject({
        error: { code: 103 },
      });
      expect((await server.api("GET", `/api/channels/${encodeURIComponent(name)}`)).status).toBe(400);
      expect((await fetch(`${server.url}/poll?wait=0&channels=${encodeURIComponent(name)}`)).status).toBe(400);
      const query = { token: await signToken({ sub: name }) };
      expect((await (await connectClient(server.url, { query, connect: false })).closed).code).toBe(4300);
      client.terminate();
    });
  }

  test("[CH-7] nobody gets somebody else's personal channel by a user name, an at sign or a capital that looks alike", async () => {
    const server = serverOf("memory");
    for (const sub of ["b\u043eb", "Bob", "bob\u200b", "\uff42ob"]) {
      const client = await connectClient(server.url, { token: await signToken({ sub }) });
      for (const channel of ["@bob", "\uff20bob", "@bob\u200b"]) await client.ask({ type: "subscribe", channel });
      await server.api("POST", "/api/publish", { user: "bob", data: "for bob" });
      await server.api("POST", "/api/publish", { user: sub, data: "for me" });
      const [message] = await client.received(`@${sub}`, 1);
      expect(message?.data).toBe("for me");
      expect(client.texts.join("\n")).not.toContain("for bob");
      client.terminate();
    }
  });
});

describe("line breaks", () => {
  const BREAKS = ["\r\n", "\n", "\r", "\u2028", "\u0085", "\0", "\v"];

  for (const mark of BREAKS) {
    const shown = JSON.stringify(mark);
    test(`[CH-3] ${shown} in a name is refused, on every way in`, async () => {
      const server = serverOf("memory");
      const name = `a${mark}Set-Cookie: x=1`.replace(" ", "");
      const encoded = encodeURIComponent(name);
      const client = await connectClient(server.url);
      for (const type of ["subscribe", "presence", "history", "unsubscribe"])
        expect(await client.ask({ type, channel: name })).toMatchObject({ code: 103 });
      expect(await client.ask({ type: "publish", channel: name, data: 1 })).toMatchObject({ code: 103 });
      client.terminate();
      for (const path of [`/sse/${encoded}`, `/poll?wait=0&channels=${encoded}`, `/stream?channel=${encoded}`]) {
        const response = await fetch(`${server.url}${path}`);
        expect([path, response.status, response.headers.has("set-cookie")]).toEqual([path, 400, false]);
      }
      for (const body of [{ channel: name }, { user: name }, { channels: ["ok", name] }]) {
        const { body: answer } = await server.api("POST", "/api/publish", { ...body, data: 1 });
        expect(JSON.stringify(answer)).toContain('"code":103');
      }
      const query = { token: await signToken({ sub: name }) };
      expect((await (await connectClient(server.url, { query, connect: false })).closed).code).toBe(4300);
    });

    test(`[ES-1] [ES-7] ${shown} in what is published, in its name, in a reason: no field of the event stream, no header`, async () => {
      const server = serverOf("memory");
      const token = await signToken({ sub: "reader" });
      const stream = await fetch(`${server.url}/sse?channels=lines&named=true&token=${token}`);
      const evil = `x${mark}event: evil${mark}data: evil${mark}${mark}id: evil${mark}retry: 1${mark}${mark}`;
      await server.publish("lines", evil, { name: evil });
      await server.publish("lines", { [evil]: evil }, { name: "good" });
      await server.api("POST", "/api/users/reader/disconnect", { reason: `gone${mark}data: evil${mark}${mark}` });
      const text = await stream.text();
      expect(text).toContain("4102");
      const lines = text.split(/\r\n|\r|\n/);
      expect(lines.filter((line) => /^(data|id): evil|^retry: 1$|^event: evil|^Set-Cookie/.test(line))).toEqual([]);
      // What ends no line there is a name like others.
      const named = /[\r\n]/.test(mark) ? [] : [`event: ${evil}`];
      expect(lines.filter((line) => line.startsWith("event:"))).toEqual([...named, "event: good"]);
    });
  }

  test("[OW-12] an origin with a line break makes no header", async () => {
    const server = await startServer({ origins: "*" });
    const origins = ["http://a\r\n\tX-Evil: 1", "http://a\rX-Evil: 1", "http://a\0X-Evil: 1", "http://a\n\tX-Evil: 1"];
    for (const origin of origins) {
      const socket = await openSocket(Number(new URL(server.url).port));
      socket.send(`GET /poll?channels=a&wait=0 HTTP/1.1\r\nHost: a\r\nOrigin: ${origin}\r\nConnection: close\r\n\r\n`);
      const text = await socket.readEnd();
      expect(text).toStartWith("HTTP/1.1 400");
      expect(text).not.toMatch(/x-evil/i);
      socket.destroy();
    }
    await server.stop();
  });

  test("[CO-21] what is offered as a subprotocol is not repeated", async () => {
    const server = serverOf("memory");
    const socket = await openSocket(Number(new URL(server.url).port));
    const upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
    socket.send(
      `GET /ws HTTP/1.1\r\nHost: a\r\n${upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: longwire, x%0d%0aSet-Cookie:x\r\n\r\n`,
    );
    const head = await socket.readUntil("\r\n\r\n");
    expect(head).not.toMatch(/set-cookie/i);
    socket.destroy();
  });
});
