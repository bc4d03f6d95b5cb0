/** Rules across options: each value is good by itself, together they are not. */
import { asksWhoConnects, checksTokens, type Config, type NamespaceOptions } from "./schema.ts";
import type { Fault } from "./setting.ts";

export function crossFaults(config: Config, sourceOf: (path: string) => string): Fault[] {
  const faults: Fault[] = [];
  const fault = (path: string, message: string) =>
    void faults.push({ path, source: sourceOf(path.replace(/\[.*$/, "")), message });
  const atMost = (
    small: "queueBytesMax" | "publicationBytesMax" | "messageBytesMax",
    large: "queueBytesTotalMax" | "bodyBytesMax" | "queueBytesMax",
    why: string,
  ) => {
    if (config[small] > config[large]) {
      fault(small, `is ${config[small]}, more than ${large} (${config[large]}, ${sourceOf(large)}): ${why}`);
    }
  };
  atMost("queueBytesMax", "queueBytesTotalMax", "one client's queue would not fit into the budget of all");
  atMost("publicationBytesMax", "bodyBytesMax", "a request that carries such a publication would be refused");
  for (const size of ["messageBytesMax", "publicationBytesMax"] as const) {
    atMost(size, "queueBytesMax", "such a message would disconnect whoever gets it");
  }
  const ports = new Map<string, string>();
  for (const [path, host, port] of portsOf(config)) {
    const other = ports.get(`${host} ${port}`);
    if (other !== undefined) fault(path, `is ${port}, as ${other} is: each needs a port of its own`);
    else if (port !== 0) ports.set(`${host} ${port}`, path);
  }
  redisFaults(config, fault);
  tlsFaults(config, fault);
  hookFaults(config, fault);
  tokenFaults(config, fault);
  const names = new Set<string>();
  const keys = new Set(config.apiKey === undefined ? [] : [config.apiKey]);
  for (const [index, { name, key }] of config.apiKeys.entries()) {
    if (names.has(name)) fault(`apiKeys[${index}].name`, `${JSON.stringify(name)} names another key too`);
    if (keys.has(key)) fault(`apiKeys[${index}].key`, "is another key's value too; its rights would be unclear");
    names.add(name);
    keys.add(key);
  }
  return faults;
}

function redisFaults(config: Config, fault: (path: string, message: string) => void): void {
  const { redisMode, redisUrls, redisDatabase, redisPrefix } = config;
  if (/[{}]/.test(redisPrefix)) fault("redisPrefix", "has braces, which say on Redis Cluster what belongs together");
  if (redisMode === "single" && redisUrls.length > 1)
    fault("redisUrls", "names several servers, and redisMode is single; several need sentinel or cluster");
  if (redisMode === "cluster" && redisDatabase !== 0)
    fault("redisDatabase", `is ${redisDatabase}, and Redis Cluster has only database 0`);
  const protocols = new Set(redisUrls.map((url) => url.split(":")[0]));
  if (protocols.size > 1) fault("redisUrls", "are in part redis:// and in part rediss://: all speak TLS, or none");
}

function tlsFaults(config: Config, fault: (path: string, message: string) => void): void {
  const { tlsCert, tlsKey, tlsKeyPassphrase, tcpListeners } = config;
  if (tlsCert !== undefined && tlsKey === undefined) fault("tlsCert", "has no tlsKey beside it: TLS needs both");
  if (tlsKey !== undefined && tlsCert === undefined) fault("tlsKey", "has no tlsCert beside it: TLS needs both");
  if (tlsKeyPassphrase !== undefined && tlsKey === undefined) fault("tlsKeyPassphrase", "has no tlsKey that it is for");
  if (tlsCert !== undefined) return;
  for (const [index, { tls }] of tcpListeners.entries()) {
    if (tls === true) fault(`tcpListeners[${index}].tls`, "is true, and there is no certificate (tlsCert, tlsKey)");
  }
}

function hookFaults(config: Config, fault: (path: string, message: string) => void): void {
  const { hookUrl, channels, namespaces } = config;
  if (hookUrl !== undefined) return;
  const places: [string, NamespaceOptions][] = [["channels", channels]];
  for (const [name, options] of Object.entries(namespaces)) places.push([`namespaces.${name}`, options]);
  for (const [place, options] of places) {
    for (const action of ["subscribe", "publish", "presence", "history"] as const) {
      if (options[action] === "hook") fault(`${place}.${action}`, "is hook, and there is no hookUrl to ask");
    }
  }
}

function tokenFaults(config: Config, fault: (path: string, message: string) => void): void {
  const kids = new Set<string>();
  for (const [index, { kid }] of config.tokenKeys.entries()) {
    if (kid === undefined) continue;
    if (kids.has(kid)) fault(`tokenKeys[${index}].kid`, `${JSON.stringify(kid)} names another key too`);
    kids.add(kid);
  }
  if (config.anonymous === false && !checksTokens(config) && !asksWhoConnects(config))
    fault("anonymous", "is false, and there is nothing to check tokens with: nobody could connect");
}

/** Every port to listen on: where it stands, its own address if it has one, and its number. */
function portsOf(config: Config): [path: string, host: string, port: number][] {
  const { port, swoolePort, tcpPort, host = "" } = config;
  return [
    ["port", host, port],
    ...(config.presets.includes("swoole") ? [["swoolePort", host, swoolePort] as [string, string, number]] : []),
    ...(tcpPort === "off" ? [] : [["tcpPort", host, tcpPort] as [string, string, number]]),
    ...config.tcpListeners.map((listener, index): [string, string, number] => [
      `tcpListeners[${index}].port`,
      listener.host ?? host,
      listener.port,
    ]),
  ];
}
