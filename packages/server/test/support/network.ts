/**
 * A network of its own, a namespace with a virtual cable to this one, in which what a client sends can be made to vanish: how a cut cable or a
 * phone in a tunnel looks to a server.
 *
 *     const network = openNetwork();                            // undefined where that is not permitted
 *     const nc = await network.openClient(port, "hello\n");     // a client on the other side, once it has been answered
 *     network.cutOff();                                         // nothing of what it sends arrives any more, not even a reset
 *     network.plugIn();
 *     network.cutOff(6379);                                     // only what it sends to this port
 *     const node = await spawnServer({ host: network.client, network: network.name });   // a gateway on the other side
 *     network.remove();
 *
 * Servers that it is to reach listen on `network.server`.
 */

export interface Network {
  /** Address of this side. */
  readonly server: string;
  /** Address of the other side. */
  readonly client: string;
  /** Of the namespace. */
  readonly name: string;
  /** Starts `nc`, sends the request, and waits for the first bytes of an answer. */
  openClient(port: number, request: string): Promise<Bun.Subprocess>;
  /** All, or what it sends to this port. */
  cutOff(port?: number): void;
  plugIn(): void;
  remove(): void;
}

function run(command: string): boolean {
  return Bun.spawnSync(command.split(" "), { stdout: "ignore", stderr: "ignore" }).success;
}

let opened = 0;

/** Of the range for tests of devices (RFC 2544), which nothing else uses; by process, since several may run at once. */
function addressOf(host: number): string {
  return `198.${18 + (process.pid & 1)}.${(process.pid >> 1) & 255}.${((process.pid >> 9) & 3) * 64 + opened * 4 + host}`;
}

export function openNetwork(): Network | undefined {
  if (process.platform !== "linux" || Bun.which("ip") === null) return undefined;
  const name = `lw${process.pid}n${opened}`;
  const server = addressOf(1);
  const client = addressOf(2);
  opened = (opened + 1) % 16;
  const remove = (): void => {
    run(`ip netns delete ${name}`);
    run(`ip link delete ${name}s`);
  };
  const isOpen = [
    `ip netns add ${name}`,
    `ip link add ${name}s type veth peer name ${name}c netns ${name}`,
    `ip address add ${server}/30 dev ${name}s`,
    `ip link set ${name}s up`,
    `ip -n ${name} address add ${client}/30 dev ${name}c`,
    `ip -n ${name} link set ${name}c up`,
    `ip -n ${name} link set lo up`,
  ].every(run);
  if (!isOpen) {
    remove();
    return undefined;
  }
  const cuts: string[] = [];
  return {
    server,
    client,
    name,
    remove,
    async openClient(port, request) {
      const command = ["ip", "netns", "exec", name, "nc", server, String(port)];
      const child = Bun.spawn(command, { stdin: "pipe", stdout: "pipe" });
      await child.stdin.write(request);
      await child.stdin.flush();
      await child.stdout.getReader().read();
      return child;
    },
    cutOff(port) {
      const way =
        port === undefined ? `route add blackhole ${server}/32` : `rule add ipproto tcp dport ${port} blackhole`;
      if (!run(`ip -n ${name} ${way}`)) throw new Error("the cable could not be cut");
      cuts.push(way.replace(" add ", " delete "));
    },
    plugIn() {
      for (const way of cuts.splice(0)) run(`ip -n ${name} ${way}`);
    },
  };
}
