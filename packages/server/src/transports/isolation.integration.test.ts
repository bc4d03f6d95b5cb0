/**
 * A thousand readers and one that has stopped: it is ended within its budget, the others notice nothing. The server is a process of its own,
 * so that what it holds can be counted.
 */
import { afterEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { freePort, type ServerProcess, spawnServer } from "../../test/support/server-process.ts";
import { type Flags, SUITE } from "../../test/support/server.ts";
import { entriesOf, workersOf } from "../../test/support/workers.ts";
import { publishAll, until, upTo } from "../../test/contracts/transport.ts";
import type { Peer } from "../../test/support/peer/peer.ts";
import { KINDS, type Target } from "../../test/support/peer/transports.ts";

/** With the one that has stopped. */
const READERS = 1000;
const PUBLICATIONS = 40;

/** What a server may take beside all queues: its heap grows in steps. */
const SLACK_BYTES = 96 * 1024 * 1024;

let server: ServerProcess;
const peers: Peer[] = [];

afterEach(async () => {
  for (const peer of peers.splice(0)) peer.drop();
  await server.remove();
});

async function start(flags: Flags): Promise<void> {
  server = await spawnServer({ engine: "memory", ...flags });
  // Of several workers the first may answer before the last one is ready.
  await until("all are ready", () => Promise.resolve(entriesOf(server, "listening").length === 1));
}

/** Of all its processes. */
function sumOf(countOf: (pid: number) => number): number {
  return [server.pid, ...workersOf(server)].reduce((sum, pid) => sum + countOf(pid), 0);
}

const sockets = (): number => sumOf((pid) => readdirSync(`/proc/${pid}/fd`).length);

const residentBytes = (): number =>
  sumOf((pid) => Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * 4096);

async function sessions(): Promise<number> {
  const { body } = await server.api("GET", "/api/stats");
  return (body as { sessions: number }).sessions;
}

for (const transport of KINDS) {
  test(`[P4] [SU-12] ${transport.name}: ${READERS - 1} readers get everything beside one that has stopped, and of all of them nothing is left`, async () => {
    const tcpPort = freePort();
    await start({
      "tcp-port": String(tcpPort),
      "queue-bytes-max": "262144",
      "publication-bytes-max": "65536",
      "channels-history-size": "1000",
    });
    const target: Target = { url: server.url, tcpPort };
    const before = sockets();
    const readers: Peer[] = [];
    while (readers.length < READERS - 1) {
      const some = Math.min(50, READERS - 1 - readers.length);
      readers.push(
        ...(await Promise.all(upTo(some).map(() => transport.open(target, { subscribe: [{ channel: "all" }] })))),
      );
    }
    peers.push(...readers);
    // The ballast is for it alone: a thousand copies of what fills a kernel's buffers would take minutes.
    const stalled = await transport.open(target, { subscribe: [{ channel: "all" }, { channel: "ballast" }] });
    peers.push(stalled);
    stalled.pause();
    const memoryBefore = residentBytes();

    let ballast = 0;
    let published = 0;
    const isThere = async (): Promise<boolean> => {
      const { body } = await server.api("GET", "/api/channels/ballast");
      return (body as { subscribers: number }).subscribers > 0;
    };
    // A poll that is not read costs its one answer: there is no end to wait for.
    while (published < PUBLICATIONS || (transport.can.stall && (await isThere()))) {
      await publishAll(
        server,
        "ballast",
        upTo(20).map(() => randomBytes(30_000).toString("base64")),
      );
      ballast += 20 * 40_000;
      if (published < PUBLICATIONS) await publishAll(server, "all", upTo(2));
      if (published < PUBLICATIONS) published += 2;
      expect(ballast).toBeLessThan(200_000_000);
    }
    for (const reader of readers) {
      expect(await reader.offsets("all", PUBLICATIONS)).toEqual(upTo(PUBLICATIONS));
      expect(reader.isEnded).toBeFalse();
    }
    expect(residentBytes() - memoryBefore).toBeLessThan(SLACK_BYTES * SUITE.workers);

    for (const peer of peers.splice(0)) peer.drop();
    await until("all sessions are gone", async () => (await sessions()) === 0);
    await until("all descriptors are closed", () => Promise.resolve(sockets() <= before + 1));
  }, 120_000);
}

for (const transport of KINDS.filter(({ can }) => can.stall)) {
  test(`[OW-10] [P4] ${transport.name}: one that does not read even its goodbye is cut`, async () => {
    const tcpPort = freePort();
    await start({
      "tcp-port": String(tcpPort),
      "queue-bytes-max": "65536",
      "publication-bytes-max": "65536",
      "message-bytes-max": "65536",
      "ping-timeout-ms": "500",
    });
    const before = sockets();
    const stalled = await transport.open({ url: server.url, tcpPort }, { subscribe: [{ channel: "ballast" }] });
    peers.push(stalled);
    stalled.pause();
    while ((await sessions()) > 0) {
      await publishAll(
        server,
        "ballast",
        upTo(20).map(() => randomBytes(30_000).toString("base64")),
      );
    }
    // It stays where it is, and still its descriptor is given back.
    await until("it is cut", () => Promise.resolve(sockets() <= before));
  });
}
