/** On a network of its own (a namespace with a pair of virtual cables), in which acknowledgements can be made to vanish. */
import { afterAll, describe, expect, test } from "bun:test";
import { setUserTimeout } from "./user-timeout.ts";

const NAME = `longwire${process.pid}`;
const SERVER = "10.213.77.1";
const CLIENT = "10.213.77.2";
const TIMEOUT_MS = 1000;

function run(...command: readonly string[]): boolean {
  return Bun.spawnSync([...command], { stdout: "ignore", stderr: "ignore" }).success;
}

const COMMANDS = [
  `ip netns add ${NAME}`,
  `ip link add ${NAME}s type veth peer name ${NAME}c netns ${NAME}`,
  `ip address add ${SERVER}/30 dev ${NAME}s`,
  `ip link set ${NAME}s up`,
  `ip -n ${NAME} address add ${CLIENT}/30 dev ${NAME}c`,
  `ip -n ${NAME} link set ${NAME}c up`,
];

/** Making network namespaces takes rights that a container or a plain user may not have. */
const hasNetwork = process.platform === "linux" && COMMANDS.every((command) => run(...command.split(" ")));

/** The client is cut off: it still gets packets, and nothing of what it sends arrives, not even a reset. */
function cutOff(): void {
  if (!run("ip", "-n", NAME, "route", "add", "blackhole", `${SERVER}/32`))
    throw new Error("the cable could not be cut");
}

function plugIn(): void {
  run("ip", "-n", NAME, "route", "delete", "blackhole", `${SERVER}/32`);
}

afterAll(() => {
  run("ip", "netns", "delete", NAME);
  run("ip", "link", "delete", `${NAME}s`);
});

test("it can be set here, on a listener whose descriptor is told and on one that has to be looked for", async () => {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  expect(setUserTimeout(listener, 1000)).toBeUndefined();
  listener.stop(true);
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", development: false, fetch: () => new Response() });
  expect(setUserTimeout({ port: server.port ?? 0 }, 1000)).toBeUndefined();
  const six = Bun.serve({ port: 0, hostname: "::1", development: false, fetch: () => new Response() });
  expect(setUserTimeout({ port: six.port ?? 0 }, 1000)).toBeUndefined();
  await server.stop(true);
  await six.stop(true);
});

test("where it cannot be set the reason is told, and nothing is thrown", () => {
  expect(setUserTimeout({ port: 1 }, 1000)).toContain("not found");
  expect(setUserTimeout({ port: 1, fd: 100_000 }, 1000)).toContain("refused");
});

describe.skipIf(!hasNetwork)("[OW-9] a peer that was cut off (not tried where network namespaces are not permitted)", () => {
  /** A client in the other network; resolves once it has said what it got. */
  async function openClient(port: number, request: string): Promise<Bun.Subprocess<"pipe", "pipe">> {
    const child = Bun.spawn(["ip", "netns", "exec", NAME, "nc", SERVER, String(port)], {
      stdin: "pipe",
      stdout: "pipe",
    });
    await child.stdin.write(request);
    await child.stdin.flush();
    await child.stdout.getReader().read();
    return child;
  }

  async function isGoneInTime(isGone: () => boolean): Promise<boolean> {
    const deadline = performance.now() + TIMEOUT_MS * 10;
    while (!isGone() && performance.now() < deadline) await Bun.sleep(20);
    return isGone();
  }

  test("is gone from a TCP listener", async () => {
    let closed = 0;
    const sockets: Bun.Socket[] = [];
    const listener = Bun.listen({
      hostname: SERVER,
      port: 0,
      socket: {
        data(socket) {
          sockets.push(socket);
          socket.write("hello\n");
        },
        close: () => void closed++,
      },
    });
    expect(setUserTimeout(listener, TIMEOUT_MS)).toBeUndefined();
    const child = await openClient(listener.port, "hi\n");
    cutOff();
    for (const socket of sockets) socket.write("are you there?\n");
    expect(await isGoneInTime(() => closed === 1)).toBe(true);
    plugIn();
    child.kill();
    listener.stop(true);
  });

  test("is gone from a stream of HTTP", async () => {
    let gone = false;
    const streams: ReadableStreamDefaultController<string>[] = [];
    const server = Bun.serve({
      hostname: SERVER,
      port: 0,
      development: false,
      fetch(request, self) {
        self.timeout(request, 0);
        request.signal.addEventListener("abort", () => (gone = true));
        const body = new ReadableStream<string>({
          start(controller) {
            streams.push(controller);
            controller.enqueue("data: hello\n\n");
          },
        });
        return new Response(body, { headers: { "content-type": "text/event-stream" } });
      },
    });
    expect(setUserTimeout({ port: server.port ?? 0 }, TIMEOUT_MS)).toBeUndefined();
    const child = await openClient(server.port ?? 0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    cutOff();
    for (const stream of streams) stream.enqueue(": still here\n\n");
    expect(await isGoneInTime(() => gone)).toBe(true);
    plugIn();
    child.kill();
    await server.stop(true);
  });
});
