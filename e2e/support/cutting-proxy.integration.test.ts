import { afterEach, expect, test } from "bun:test";
import { type CuttingProxy, startProxy } from "./cutting-proxy.ts";
import { until } from "./wait.ts";

const ending: (() => void)[] = [];
afterEach(() => {
  for (const end of ending.splice(0)) end();
});

/** Says what it is told, with its name before it. */
function echo(name: string): number {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket, data) => void socket.write(`${name}:${data.toString()}`) },
  });
  ending.push(() => listener.stop(true));
  return listener.port;
}

function proxyTo(...ports: number[]): CuttingProxy {
  const proxy = startProxy(ports);
  ending.push(() => proxy.stop());
  return proxy;
}

interface Caller {
  heard: string;
  isEnded: boolean;
  say(text: string): void;
}

async function call(proxy: CuttingProxy): Promise<Caller> {
  const caller: Caller = { heard: "", isEnded: false, say: (text) => void socket.write(text) };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: proxy.port,
    socket: {
      data: (_, data) => void (caller.heard += data.toString()),
      close: () => void (caller.isEnded = true),
    },
  });
  ending.push(() => socket.terminate());
  return caller;
}

test("connections go to the targets in turn, and pass over one that is not there", async () => {
  const gone = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const missing = gone.port;
  gone.stop(true);
  const proxy = proxyTo(echo("a"), missing, echo("b"));
  const heard: string[] = [];
  for (let n = 0; n < 3; n++) {
    const caller = await call(proxy);
    caller.say("hi");
    await until("it is answered", () => caller.heard !== "");
    heard.push(caller.heard);
  }
  expect(heard).toEqual(["a:hi", "b:hi", "b:hi"]);
});

test("what is delayed arrives later, whole and in order", async () => {
  const proxy = proxyTo(echo("a"));
  proxy.delay(100);
  const caller = await call(proxy);
  caller.say("1");
  await Bun.sleep(20);
  caller.say("2");
  await Bun.sleep(100);
  expect(caller.heard).toBe("");
  await until("all is there", () => caller.heard === "a:1a:2");
});

test("what is stalled arrives when it flows again, in both directions, also of connections made meanwhile", async () => {
  const proxy = proxyTo(echo("a"));
  const before = await call(proxy);
  before.say("0");
  await until("it is connected", () => before.heard === "a:0");
  for (const direction of ["toServer", "toClient"] as const) {
    proxy.stall(direction);
    const meanwhile = await call(proxy);
    before.heard = "";
    before.say("1");
    meanwhile.say("2");
    await Bun.sleep(100);
    expect([before.heard, meanwhile.heard]).toEqual(["", ""]);
    proxy.flow();
    await until("it flows", () => before.heard === "a:1" && meanwhile.heard === "a:2");
  }
});

test("what is cut ends on both sides", async () => {
  const proxy = proxyTo(echo("a"));
  const caller = await call(proxy);
  await until("it is connected", () => proxy.connections === 1);
  proxy.cut(1);
  await until("it has ended", () => caller.isEnded);
  expect([proxy.connections, proxy.cuts]).toEqual([0, 1]);
});
