/**
 * Two nodes of Longwire on one Redis, behind a balancer without sticky sessions, all on this machine and in a temporary folder:
 *
 *     npx bun examples/cluster/start.ts [single|sentinel|cluster] [--free-ports]
 *
 * Then it obeys lines: `kill 1`, `start 1` (a node), `kill master` (a Redis), `stop`. It ends with all of it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { isListening, Program } from "./processes.ts";
import { type Mode, MODES, REDIS_PORTS, type RedisSetup, startRedis } from "./redis.ts";

const ROOT = join(import.meta.dir, "../..");
const MAIN = join(ROOT, "packages/server/src/cli/main.ts");
/** As the files in this folder have them. */
const BALANCER = { http: 8080, tcp: 8081 } as const;
const NODES = [
  { http: 9001, tcp: 9101 },
  { http: 9002, tcp: 9102 },
] as const;

const PORTS: readonly number[] = [
  ...Object.values(BALANCER),
  ...NODES.flatMap((node) => Object.values(node)),
  ...REDIS_PORTS,
];

const mode = modeOf(process.argv.slice(2).find((word) => !word.startsWith("-")) ?? "single");
const portOf = process.argv.includes("--free-ports") ? freePorts() : (port: number) => port;
const folder = mkdtempSync(join(tmpdir(), "longwire-cluster-"));
const programs: Program[] = [];
/** In the environment of both nodes, so that tokens and keys are good at each. */
const secrets = { LONGWIRE_API_KEY: secret(), LONGWIRE_TOKEN_SECRET: secret() };

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function modeOf(word: string): Mode {
  const found = MODES.find((candidate) => candidate === word);
  if (found === undefined) throw new Error(`${word} is none of ${MODES.join(", ")}`);
  return found;
}

function secret(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
}

/** For tests, or where the ports of the files are taken: others in their place, all of them free a moment ago. */
function freePorts(): (port: number) => number {
  const probes = PORTS.map(() => Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } }));
  const found = new Map(PORTS.map((port, at) => [port, probes[at]?.port ?? 0]));
  for (const probe of probes) probe.stop(true);
  return (port) => found.get(port) ?? port;
}

/** A file of this folder, with the ports that are used, in the temporary folder. */
function placed(name: string): string {
  const text = readFileSync(join(import.meta.dir, name), "utf8");
  const file = join(folder, name);
  writeFileSync(
    file,
    text.replaceAll(/(?<=:)\d{4}\b/g, (port) => String(portOf(Number(port)))),
  );
  return file;
}

function nodeOf(number: number): Program {
  const node = NODES[number - 1];
  if (node === undefined) throw new Error(`there is no node ${number}`);
  const config = placed(mode === "single" ? "longwire.toml" : `longwire.${mode}.toml`);
  const ports = [`--port=${portOf(node.http)}`, `--tcp-port=${portOf(node.tcp)}`];
  const command = [
    process.execPath,
    MAIN,
    "serve",
    `--config=${config}`,
    ...ports,
    `--data-dir=${join(folder, `node-${number}`)}`,
  ];
  return new Program(`node ${number}`, command, folder, secrets);
}

async function isReady(number: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${portOf(NODES[number - 1]?.http ?? 0)}/readyz`);
  return response.ok;
}

async function startNginx(): Promise<void> {
  // Started as root it would give the folder's files to another user.
  const user = process.getuid?.() === 0 ? ["-g", "user root;"] : [];
  const nginx = new Program(
    "nginx",
    ["nginx", "-p", folder, "-e", "stderr", "-c", placed("nginx.conf"), ...user],
    folder,
  );
  programs.push(nginx);
  await nginx.start(() => isListening(portOf(BALANCER.http)));
}

async function stop(): Promise<void> {
  // The balancer first: it would look for nodes that are gone.
  for (const program of programs.toReversed()) await program.kill("SIGTERM");
  rmSync(folder, { recursive: true, force: true });
}

const WORDS = "kill 1 | start 1 | kill 2 | start 2 | kill master | stop";

async function obey(line: string, redis: RedisSetup, nodes: readonly Program[]): Promise<void> {
  const [verb = "", which = ""] = line.trim().split(/\s+/);
  const node = nodes[Number(which) - 1];
  const program = verb === "kill" && which === "master" ? await redis.master() : node;
  if (program !== undefined && verb === "kill") {
    await program.kill("SIGKILL");
    say(`killed ${program.name}`);
  } else if (node?.isRunning === false && verb === "start") {
    await node.start(() => isReady(Number(which)));
    say(`started ${node.name}`);
  } else {
    say(WORDS);
  }
}

async function main(): Promise<void> {
  const redis = await startRedis(mode, folder, portOf, (program) => programs.push(program));
  const nodes = NODES.map((_, at) => nodeOf(at + 1));
  programs.push(...nodes);
  await Promise.all(nodes.map((node, at) => node.start(() => isReady(at + 1))));
  await startNginx();
  const [http, tcp] = [portOf(BALANCER.http), portOf(BALANCER.tcp)];
  say(`Redis (${mode}), two nodes and nginx are up, in ${folder}.

  balancer  http://127.0.0.1:${http} (TCP: ${tcp})
  node 1    http://127.0.0.1:${portOf(NODES[0].http)}
  node 2    http://127.0.0.1:${portOf(NODES[1].http)}
  API key   ${secrets.LONGWIRE_API_KEY}

${WORDS}`);
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === "stop") return;
    await obey(line, redis, nodes).catch((error: unknown) => say(String(error)));
  }
  // Nobody is there to type: until a signal comes.
  await new Promise(() => setInterval(() => undefined, 2 ** 30));
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => void stop().then(() => process.exit(0)));
}
try {
  await main();
  await stop();
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  await stop();
  process.exit(1);
}
