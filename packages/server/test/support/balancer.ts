/**
 * A load balancer as simple as they come: each new TCP connection goes to the next of the servers, wherever its client was before.
 *
 *     const balancer = await startBalancer([8001, 8002]);
 *     connect(`ws://127.0.0.1:${balancer.port}/ws`);
 *     await balancer.stop();                    // its connections are cut
 *
 * A server that does not answer is passed over. What one side ends or resets ends on the other side too.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface Balancer {
  readonly port: number;
  stop(): Promise<void>;
}

export async function startBalancer(targetPorts: readonly number[], port = 0): Promise<Balancer> {
  const open = new Set<Socket>();
  let turn = 0;
  const dial = (client: Socket, attemptsLeft: number): void => {
    const server = connect({
      host: "127.0.0.1",
      port: targetPorts[turn++ % targetPorts.length] ?? 0,
      allowHalfOpen: true,
    });
    server.once("error", () => {
      if (attemptsLeft > 1) dial(client, attemptsLeft - 1);
      else client.destroy();
    });
    server.once("connect", () => {
      server.removeAllListeners("error");
      join(client, server, open);
    });
  };
  const listener = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
    client.on("error", () => client.destroy());
    dial(client, targetPorts.length);
  });
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(port, "127.0.0.1", resolve);
  });
  return {
    port: (listener.address() as AddressInfo).port,
    async stop() {
      const closed = new Promise<void>((resolve) => void listener.close(() => resolve()));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

function join(client: Socket, server: Socket, open: Set<Socket>): void {
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    open.add(one);
    one.setNoDelay(true);
    one.on("error", () => other.resetAndDestroy());
    one.on("close", () => {
      open.delete(one);
      other.destroy();
    });
    one.pipe(other);
  }
  client.resume();
}
