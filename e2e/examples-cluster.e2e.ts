/**
 * examples/cluster as its README tells to start it; only the ports are free ones. Clients of every transport through the balancer; a node is killed, then
 * a Redis: everybody has everything.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Client } from "@longwire/client";
import type { Position } from "@longwire/protocol";
import type { Peer } from "longwire/test/peer";
import { type Target, type Transport, TRANSPORTS } from "longwire/test/transports";
import { readCodeBlocks } from "./support/code-blocks.ts";
import { until } from "./support/wait.ts";

const ROOT = resolve(import.meta.dir, "..");
const FOLDER = join(ROOT, "examples/cluster");
/** A failover takes some seconds, and meanwhile publishes are refused. */
const FAILOVER_MS = 60_000;
const CHANNEL = "news";

interface Example extends Target {
  readonly nodes: readonly string[];
  readonly folder: string;
  /** Types a line, and waits for the answer. */
  say(line: string, answer: string): Promise<void>;
  publish(url: string, number: number): Promise<void>;
  api(url: string, path: string): Promise<Record<string, unknown>>;
  stop(): Promise<number>;
}

async function startExample(mode: string): Promise<Example> {
  const command = [process.execPath, "examples/cluster/start.ts", mode, "--free-ports"];
  const child = Bun.spawn(command, { cwd: ROOT, stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  let output = "";
  void (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) output += decoder.decode(chunk, { stream: true });
  })();
  await until("the cluster is up", () => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    return output.includes("kill master | stop");
  });
  const word = (pattern: RegExp): string => pattern.exec(output)?.[1] ?? "";
  const headers = { authorization: `Bearer ${word(/API key\s+(\S+)/)}`, "content-type": "application/json" };
  return {
    url: word(/balancer\s+(\S+)/),
    tcpPort: Number(word(/\(TCP: (\d+)\)/)),
    nodes: [word(/node 1\s+(\S+)/), word(/node 2\s+(\S+)/)],
    folder: word(/are up, in (\S+)\./),
    async say(line, answer) {
      const before = output.length;
      await child.stdin.write(`${line}\n`);
      await child.stdin.flush();
      await until(line, () => output.slice(before).includes(answer));
    },
    async publish(url, number) {
      const body = JSON.stringify({ channel: CHANNEL, data: number, key: `number-${number}` });
      let said = "";
      // Refused publishes are repeated with their key, as a backend does.
      const isDone = async (): Promise<boolean> => {
        const response = await fetch(`${url}/api/publish`, { method: "POST", headers, body }).catch(String);
        if (typeof response === "string") return false;
        said = await response.text();
        return response.ok && !said.includes('"error"');
      };
      await until(`number ${number} is published`, isDone, FAILOVER_MS).catch((error: unknown) => {
        throw new Error(`${String(error)}: ${said}`);
      });
    },
    async api(url, path) {
      return (await fetch(`${url}${path}`, { headers }).then((response) => response.json())) as never;
    },
    async stop() {
      if (child.exitCode === null) await child.stdin.write("stop\n");
      await child.stdin.end();
      return child.exited;
    },
  };
}

/** Stays on one transport, and comes back from where it was whenever its connection ends. */
class Follower {
  readonly data: unknown[] = [];
  breaks = 0;
  returns = 0;
  /** Whatever became of the connections since. */
  position: Position | undefined;
  /** What it has of the connection that stands. */
  #taken = 0;
  #isOver = false;
  readonly #following: Promise<void>;

  constructor(
    readonly transport: Transport,
    private readonly target: Target,
  ) {
    this.#following = this.#follow();
  }

  get isSubscribed(): boolean {
    return this.position !== undefined;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#following;
  }

  async #follow(): Promise<void> {
    while (!this.#isOver) {
      const wishes = { subscribe: [{ channel: CHANNEL, since: this.position }] };
      const peer = await this.transport.open(this.target, wishes).catch(() => undefined);
      if (peer === undefined) {
        await Bun.sleep(50);
        continue;
      }
      this.#taken = 0;
      while (!peer.isEnded && !this.#isOver) {
        this.#take(peer);
        await Bun.sleep(10);
      }
      this.#take(peer);
      peer.drop();
      if (this.#isOver) return;
      this.returns++;
      await Bun.sleep(50);
    }
  }

  #take(peer: Peer): void {
    this.position = peer.positions.get(CHANNEL) ?? this.position;
    for (; this.#taken < peer.frames.length; this.#taken++) {
      const frame = peer.frames[this.#taken];
      if (frame?.type === "message") this.data.push(frame.data);
      if (frame?.type === "subscribed" && !frame.recovered && this.data.length > 0) this.breaks++;
    }
  }
}

const examples: Example[] = [];
const running: { stop(): unknown }[] = [];
afterEach(async () => {
  for (const each of running.splice(0)) await each.stop();
  for (const example of examples.splice(0)) await example.stop();
});

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1);

function pageOf(url: string): { readonly data: unknown[] } {
  const data: unknown[] = [];
  const client = new Client(url, { backoff: { minMs: 50, maxMs: 500 } });
  client.channel(CHANNEL).on("message", (message) => data.push(message.data));
  client.channel(CHANNEL).subscribe();
  client.connect();
  running.push({ stop: () => client.disconnect() });
  return { data };
}

describe.each(["single", "sentinel", "cluster"])("examples/cluster: %s", (mode) => {
  test("[NB-1] [RD-1] every transport through the balancer; a node is killed, then a Redis; nobody misses anything", async () => {
    const example = await startExample(mode);
    examples.push(example);
    const [one = "", two = ""] = example.nodes;
    const followers = TRANSPORTS.map((transport) => new Follower(transport, example));
    running.push(...followers);
    const page = pageOf(example.url);
    const all = [...followers, page];
    const expectAll = async (count: number): Promise<void> => {
      await until(`all have ${count}: ${all.map(({ data }) => data.length).join(", ")}`, () =>
        all.every(({ data }) => data.length >= count),
      );
      for (const { data } of all) expect(data).toEqual(numbers(count));
    };
    await until("all are subscribed", async () => {
      const { subscribers } = await example.api(example.url, `/api/channels/${CHANNEL}`);
      return followers.every(({ isSubscribed }) => isSubscribed) && Number(subscribers) >= all.length - 1;
    });
    await until("the nodes know each other", async () => (await example.api(one, "/api/stats"))["processes"] === 2);

    for (const number of numbers(10)) await example.publish(number % 2 === 0 ? one : two, number);
    await expectAll(10);

    const published = (async () => {
      for (const number of numbers(20).slice(10)) await example.publish(example.url, number);
    })();
    await example.say("kill 1", "killed node 1");
    await published;
    await expectAll(20);
    expect(followers.reduce((sum, { returns }) => sum + returns, 0)).toBeGreaterThan(0);

    await example.say("start 1", "started node 1");
    await example.publish(one, 21);
    await expectAll(21);

    if (mode !== "single") {
      // The replicas of a Cluster are a moment behind; what none of them has is lost with its master.
      await Bun.sleep(500);
      await example.say("kill master", "killed redis-server");
      for (const number of numbers(25).slice(21)) await example.publish(number % 2 === 0 ? one : two, number);
      await expectAll(25);
    }
    expect(followers.map(({ breaks }) => breaks)).toEqual(followers.map(() => 0));
    for (const each of running.splice(0)) await each.stop();
    expect(await example.stop()).toBe(0);
    expect(existsSync(example.folder)).toBe(false);
  }, 180_000);
});

test("the READMEs show the files as they are", async () => {
  for (const language of ["README.md", "README.zh-CN.md"]) {
    const blocks = await readCodeBlocks(`examples/cluster/${language}`);
    const shown = blocks.map(({ code }) => code);
    for (const file of ["nginx.conf", "longwire.toml"])
      expect(shown).toContain(readFileSync(join(FOLDER, file), "utf8"));
  }
});

test("the file for containers has two nodes that are alike, and asks for the secrets", () => {
  const file = readFileSync(join(FOLDER, "docker-compose.yml"), "utf8");
  const { services } = Bun.YAML.parse(file) as { services: Record<string, { command?: string[] }> };
  expect(Object.keys(services)).toEqual(["install", "redis", "node1", "node2", "balancer"]);
  expect(services["node1"]).toEqual(services["node2"] ?? {});
  expect(services["node1"]?.command).toContain("--engine=redis");
  expect(file.match(/\$\{LONGWIRE_\w+:\?/g)).toHaveLength(2);
});
