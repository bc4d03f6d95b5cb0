/** Several gateways on one Redis behind a balancer, to be used like one. `config.port` and its like are the balancer's. */
import { join } from "node:path";
import { type RunningGateway, startGateway } from "../../src/app/serve.ts";
import type { Logger } from "../../src/base/log.ts";
import type { Config } from "../../src/config/schema.ts";
import { type Balancer, startBalancer } from "./balancer.ts";

export async function startNodes(count: number, config: Config, log: Logger): Promise<RunningGateway> {
  const nodes: RunningGateway[] = [];
  const balancers: Balancer[] = [];
  const balance = async (portOf: (node: RunningGateway) => number | undefined, port: number): Promise<number> => {
    const balancer = await startBalancer(
      nodes.map((node) => portOf(node) ?? 0),
      port,
    );
    balancers.push(balancer);
    return balancer.port;
  };
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()));
    await Promise.all(balancers.map((balancer) => balancer.stop()));
  };
  try {
    for (let number = 0; number < count; number++) nodes.push(await startGateway(ofNode(config, number), log));
    const [first] = nodes;
    if (first === undefined) throw new Error("at least one node");
    const url = new URL(first.url);
    url.port = String(await balance((node) => Number(new URL(node.url).port), config.port));
    const swoolePort =
      first.swoolePort === undefined ? undefined : await balance((node) => node.swoolePort, config.swoolePort);
    const wanted = [
      ...(config.tcpPort === "off" ? [] : [config.tcpPort]),
      ...config.tcpListeners.map(({ port }) => port),
    ];
    const tcpPorts: number[] = [];
    for (const [index, port] of wanted.entries()) tcpPorts.push(await balance((node) => node.tcpPorts[index], port));
    return {
      url: url.origin,
      swoolePort,
      tcpPorts,
      reload: (next) => nodes.forEach((node, number) => node.reload(ofNode(next, number))),
      stop,
      hurry: () => nodes.forEach((node) => node.hurry()),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function ofNode(config: Config, number: number): Config {
  return {
    ...config,
    port: 0,
    swoolePort: 0,
    tcpPort: config.tcpPort === "off" ? "off" : 0,
    tcpListeners: config.tcpListeners.map((listener) => ({ ...listener, port: 0 })),
    dataDir: join(config.dataDir, `node${number}`),
  };
}
