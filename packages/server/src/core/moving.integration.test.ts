/** Sessions that go on in another worker, in real processes; whichever worker the kernel hands a connection to. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ServerProcess, spawnServer } from "../../test/support/server-process.ts";
import { markOf, until, workersOf } from "../../test/support/workers.ts";
import { connectClient, type TestClient } from "../../test/support/ws-client.ts";

const REPLACED = 4101;

let server: ServerProcess;
const clients: TestClient[] = [];

beforeAll(async () => {
  server = await spawnServer({ workers: "2" });
});
afterAll(async () => {
  for (const client of clients) client.terminate();
  await server.remove();
});

async function open(user?: string, session?: string): Promise<TestClient> {
  const client = await connectClient(server.url, {
    ...(user !== undefined && { token: await server.token({ sub: user }) }),
    ...(session !== undefined && { session }),
  });
  clients.push(client);
  return client;
}

async function api(method: string, path: string, body?: unknown): Promise<unknown> {
  const answer = await server.api(method, `/api/${path}`, body);
  return answer.status === 404 ? "none" : answer.body;
}

describe("two workers", () => {
  test("[NB-2] [NB-3] a session goes from connection to connection, wherever they are, with all that it has", async () => {
    let page = await open("alice");
    const { session } = page;
    await api("POST", `sessions/${session}/user`, { user: "bob" });
    await api("POST", `sessions/${session}/subscribe`, { channel: "vip" });
    for (let n = 1; n <= 30; n++) {
      await api("PATCH", `sessions/${session}/data`, { [`key ${n}`]: n });
      expect(await api("POST", "state/turns", { add: 1, session })).toEqual({ value: n });
      const before = page;
      page = await open("alice", session);
      expect(page.frames[0]).toMatchObject({ type: "connected", session, user: "bob", resumed: true });
      expect((await before.closed).code).toBe(REPLACED);
    }
    expect(Object.keys((await api("GET", `sessions/${session}/data`)) as object)).toHaveLength(30);
    expect(await api("GET", "users/bob")).toMatchObject({ sessions: [{ session }] });
    await page.next((frame) => frame.type === "subscribed" && frame.channel === "vip");
    expect(await api("GET", "state/turns")).toEqual({ value: 30 });
    await api("POST", `sessions/${session}/disconnect`, {});
    await until("its key is gone", async () => (await api("GET", "state/turns")) === "none");
    expect((await open("alice", session)).frames[0]).toMatchObject({ resumed: false, user: "alice" });
  });

  test("[CO-13] many connections that ask for one session in the same moment: one has it in the end", async () => {
    const first = await open();
    const { session } = first;
    const takers = await Promise.all(Array.from({ length: 12 }, () => connectClient(server.url, { connect: false })));
    clients.push(...takers);
    for (const taker of takers) taker.send({ type: "connect", session });
    await until("one is left", () => [first, ...takers].filter(({ isOpen }) => isOpen).length === 1);
    expect(await api("GET", `sessions/${session}`)).toMatchObject({ session });
    // One that had not noticed yet would do so now.
    await Bun.sleep(6000);
    const [last, ...others] = takers.filter(({ isOpen }) => isOpen);
    expect(others).toEqual([]);
    expect(last?.frames[0]).toMatchObject({ type: "connected", session, resumed: true });
    const ends = await Promise.all([first, ...takers].filter(({ isOpen }) => !isOpen).map(({ closed }) => closed));
    expect(new Set(ends.map(({ code }) => code))).toEqual(new Set([REPLACED]));
  }, 30_000);

  test("[NB-3] the clients of a worker that was killed go on with their sessions in the other one", async () => {
    const pages = await Promise.all(Array.from({ length: 20 }, (_, n) => open(`user-${n}`)));
    for (const [n, { session }] of pages.entries()) {
      await api("PUT", `sessions/${session}/data`, { n });
      await api("POST", `state/count:${session}`, { add: n, session });
    }
    expect(new Set(pages.map(({ session }) => markOf(session))).size).toBe(2);
    const [killed] = workersOf(server);
    process.kill(killed as number, "SIGKILL");
    await until("some are cut", () => pages.some(({ isOpen }) => !isOpen));
    await Bun.sleep(100);
    const cut = [...pages.entries()].filter(([, { isOpen }]) => !isOpen);
    expect(cut.length).toBeLessThan(20);
    for (const [n, { session }] of cut) {
      expect((await open(`user-${n}`, session)).frames[0]).toMatchObject({ session, resumed: true });
      expect(await api("GET", `sessions/${session}/data`)).toEqual({ n });
      expect(await api("GET", `state/count:${session}`)).toEqual({ value: n });
    }
  }, 30_000);
});
