/** One port with several listening sockets: who gets it, who comes in where, and what remains when one is shut. */
import { afterEach, expect, test } from "bun:test";
import { handOver } from "./handover.ts";
import { openSharedPort, type SharedPort } from "./listening.ts";

const open: { stop(force: boolean): void }[] = [];
const ports: SharedPort[] = [];

afterEach(() => {
  for (const one of open.splice(0)) one.stop(true);
  for (const port of ports.splice(0)) port.close();
});

function share(count: number, hostname = "127.0.0.1", port = 0): SharedPort {
  const shared = openSharedPort(hostname, port, count);
  ports.push(shared);
  return shared;
}

/** A server that says a word to whoever asks at this socket. */
function greeter(socket: number, word: string): void {
  const server: { fd?: number; stop(force: boolean): void } = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (client) => void client.write(word),
    },
  });
  open.push(server);
  handOver(socket, server.fd ?? -1);
}

function greeting(port: number, hostname = "127.0.0.1"): Promise<string> {
  return new Promise((resolve, reject) => {
    void Bun.connect({
      hostname,
      port,
      socket: {
        // Not at once: what is there already would be read before an end that is no end.
        open: (socket) => void setTimeout(() => socket.write("?"), 20),
        data(socket, bytes) {
          resolve(bytes.toString());
          socket.end();
        },
        close: () => reject(new Error("cut off without an answer")),
        connectError: (_, error) => reject(error),
      },
    }).catch(reject);
  });
}

async function greetings(port: number, count: number): Promise<Record<string, number>> {
  const words: Record<string, number> = {};
  for (const word of await Promise.all(Array.from({ length: count }, () => greeting(port)))) {
    words[word] = (words[word] ?? 0) + 1;
  }
  return words;
}

test("[WK-1] each socket gets its share of those who come; who waits for one that nobody accepts from is taken when somebody does", async () => {
  const { port, sockets } = share(2);
  expect(sockets).toHaveLength(2);
  greeter(sockets[0] ?? -1, "one");
  const all = greetings(port, 100);
  await Bun.sleep(100);
  greeter(sockets[1] ?? -1, "two");
  const words = await all;
  expect(Object.values(words).reduce((a, b) => a + b)).toBe(100);
  expect(words["one"]).toBeGreaterThan(20);
  expect(words["two"]).toBeGreaterThan(20);
});

test("[WK-3] a socket that is shut leaves everybody to the others, and has its share again with the next server", async () => {
  const shared = share(2);
  const [one = -1, two = -1] = shared.sockets;
  greeter(one, "one");
  shared.shut(1);
  // Whoever counts deaths shuts it at each. What came in behind a second shutdown was at its end at once.
  shared.shut(1);
  expect(await greetings(shared.port, 50)).toEqual({ one: 50 });
  greeter(two, "two");
  expect(Object.keys(await greetings(shared.port, 100)).toSorted()).toEqual(["one", "two"]);
});

test("[WK-2] a port in use is refused, also where its owner shares it", () => {
  const owner = Bun.serve({ hostname: "127.0.0.1", port: 0, reusePort: true, fetch: () => new Response() });
  open.push({ stop: (force) => void owner.stop(force) });
  expect(() => share(2, "127.0.0.1", owner.port ?? 0)).toThrow(expect.objectContaining({ code: "EADDRINUSE" }));
  const shared = share(1);
  expect(() => share(1, "127.0.0.1", shared.port)).toThrow(expect.objectContaining({ code: "EADDRINUSE" }));
});

test("a name, IPv6, and an address that stands for both", async () => {
  for (const [hostname, seen] of [
    ["::1", "::1"],
    ["[::1]", "::1"],
    ["localhost", "localhost"],
    ["::", "::1"],
    ["::", "127.0.0.1"],
  ] as const) {
    const { port, sockets } = share(2, hostname);
    for (const socket of sockets) greeter(socket, "hello");
    expect(await greeting(port, seen)).toBe("hello");
  }
});

test("a closed port is free at once", () => {
  const shared = share(3);
  const { port } = shared;
  ports.pop();
  shared.close();
  share(3, "127.0.0.1", port);
});
