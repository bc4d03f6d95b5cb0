import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { freePort } from "../../test/support/server-process.ts";
import { acceptingOf } from "./accepting.ts";
import { handOver } from "./handover.ts";

interface Listener {
  readonly fd: number;
  readonly port: number;
  stop(all: boolean): void;
}

const open: Listener[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.stop(true);
});

/** Says its name to whoever connects, and again whenever it is spoken to. */
function listen(name: string, port = 0): Listener {
  const socket = {
    open: (client: { write(text: string): void }) => client.write(name),
    data: (client: { write(text: string): void }) => client.write(`${name} again`),
  };
  const listener = Bun.listen({ hostname: "127.0.0.1", port, socket }) as unknown as Listener;
  open.push(listener);
  return listener;
}

interface Client {
  readonly said: () => string;
  say(text: string): void;
  until(text: string): Promise<void>;
}

function client(port: number): Client {
  const socket = connect(port, "127.0.0.1");
  let said = "";
  let failure: Error | undefined;
  socket.on("data", (bytes) => (said += bytes.toString()));
  socket.on("error", (error) => (failure = error));
  return {
    said: () => said,
    say: (text) => void socket.write(text),
    async until(text) {
      for (let round = 0; round < 500 && !said.includes(text); round++) {
        if (failure !== undefined) throw failure;
        await Bun.sleep(10);
      }
      expect(said).toContain(text);
    },
  };
}

describe.skipIf(process.platform !== "linux")("[TL-5] a listening socket that is handed on", () => {
  test("its port is the next one's, who was there stays, who waits in its queue is served", async () => {
    const old = listen("old");
    const before = client(old.port);
    await before.until("old");
    const next = listen("next");
    const port = next.port;
    // Nothing is accepted before this turn of the loop is over.
    const waiting = Array.from({ length: 100 }, () => client(old.port));
    Bun.sleepSync(50);
    handOver(old.fd, next.fd);
    old.stop(false);
    for (const one of waiting) await one.until("next");
    await client(old.port).until("next");
    before.say("?");
    await before.until("old again");
    // The port that it had itself is nobody's now.
    expect(client(port).until("next")).rejects.toThrow();
  });

  test("again and again, without a descriptor more", async () => {
    let current = listen("0");
    const { port } = current;
    for (let round = 1; round <= 20; round++) {
      const next = listen(String(round));
      handOver(current.fd, next.fd);
      current.stop(false);
      current = next;
    }
    await client(port).until("20");
  });

  test("one that accepts nobody at the moment accepts again", async () => {
    const old = listen("old", freePort());
    const accepting = acceptingOf([old]);
    if (typeof accepting === "string") throw new Error(accepting);
    accepting.pause();
    expect(client(old.port).until("old")).rejects.toThrow();
    const next = listen("next");
    handOver(old.fd, next.fd);
    old.stop(false);
    await client(old.port).until("next");
  });
});
