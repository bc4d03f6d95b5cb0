/**
 * Long polls: what 10,000 waiting clients hold (T4), and what it costs to answer them all with one publication. Answering and
 * polling again are measured apart: first nobody polls again until asked, then everybody does at once.
 */
import { type Bench, median } from "../bench.ts";
import { type PollsReport, post, Subscribers } from "../native.ts";
import { type LongwireServer, stampedData, startLongwire } from "../servers.ts";
import { subscribedOver } from "../transports.ts";
import { cpuSeconds, processTree, residentBytes } from "../usage.ts";

const CLIENTS = 10_000;
const DATA_BYTES = 128;
/** As the memory section waits. */
const MEMORY_SETTLE_MS = 5000;
const POLLS_SETTLE_MS = 2000;
const WATCH_MS = 50;
const ANSWERS_TIMEOUT_MS = 20_000;
const MEMORY_TARGET_KB = 8;
const CPU_TARGET_SECONDS = 1;

interface Answering {
  readonly cpuSeconds: number;
  /** From the publication to the last client's answer. */
  readonly lastMs: number;
  readonly medianMs: number;
  /** Of the clients' next polls, measured apart. */
  readonly pollingCpuSeconds: number;
  readonly bytesPerAnswer: number;
}

export async function runPoll(bench: Bench): Promise<void> {
  const server = await startLongwire(bench, "sqlite");
  await Bun.sleep(MEMORY_SETTLE_MS);
  const pids = processTree(server.child.pid);
  const before = residentBytes(pids);
  const subscription = { ...subscribedOver("poll", server, ["bench"]), pollOnce: true };
  const clients = await Subscribers.connect(bench.children, bench.tools, server.port, CLIENTS, subscription);
  await Bun.sleep(MEMORY_SETTLE_MS);
  const kilobytes = (residentBytes(pids) - before) / CLIENTS / 1024;
  const rounds: Answering[] = [];
  for (let round = 0; round <= bench.options.rounds; round++) {
    bench.report.say(round === 0 ? "long poll, warming up" : `long poll, round ${round} of ${bench.options.rounds}`);
    const answering = await measure(bench, server, clients, pids);
    if (round > 0) rounds.push(answering);
  }
  await Bun.sleep(MEMORY_SETTLE_MS);
  const afterwards = (residentBytes(pids) - before) / CLIENTS / 1024;
  await clients.stop();
  await bench.children.stop(server.child);
  const middle = (value: (round: Answering) => number): number => median(rounds.map(value));
  const cpu = middle((round) => round.cpuSeconds);
  bench.report.table(`Long poll: ${CLIENTS} waiting clients, one publication answers them all`, [
    {
      "KB/client": kilobytes,
      [`KB/client after ${rounds.length + 1} publications`]: afterwards,
      "answering, CPU s": cpu,
      "CPU us/answer": (cpu * 1e6) / CLIENTS,
      "half have it, ms": middle((round) => round.medianMs),
      "last has it, ms": middle((round) => round.lastMs),
      "next polls, CPU s": middle((round) => round.pollingCpuSeconds),
      "CPU us/poll": (middle((round) => round.pollingCpuSeconds) * 1e6) / CLIENTS,
      "wire bytes/answer": middle((round) => round.bytesPerAnswer),
    },
  ]);
  bench.report.target({
    id: "T4",
    what: `memory per waiting long poll, ${CLIENTS} clients`,
    measured: kilobytes,
    limit: MEMORY_TARGET_KB,
    good: "at most",
    unit: "KB",
  });
  bench.report.target({
    id: "T4",
    what: `one publication answers ${CLIENTS} long polls, CPU time`,
    measured: cpu,
    limit: CPU_TARGET_SECONDS,
    good: "at most",
    unit: "s",
  });
}

async function measure(
  bench: Bench,
  server: LongwireServer,
  clients: Subscribers,
  pids: readonly number[],
): Promise<Answering> {
  await clients.reset();
  const begun = cpuSeconds(pids);
  await post(bench.children, bench.tools, {
    port: server.port,
    path: server.publication.path,
    ...(server.publication.header === undefined ? {} : { header: server.publication.header }),
    body: server.publication.body("bench", stampedData(DATA_BYTES)),
    connections: 1,
    rate: 1,
    seconds: 1,
  });
  const answered = await until(clients, ({ answers }) => answers >= CLIENTS);
  const answering = cpuSeconds(pids) - begun;
  if (answered.messages !== CLIENTS || answered.repeats > 0 || answered.refused > 0 || answered.closed > 0) {
    throw new Error(`one publication to ${CLIENTS} long polls: ${JSON.stringify(answered)}`);
  }
  const polling = cpuSeconds(pids);
  await clients.poll();
  await until(clients, ({ waiting }) => waiting === CLIENTS);
  // The polls have been sent; the server takes them all.
  await Bun.sleep(POLLS_SETTLE_MS);
  return {
    cpuSeconds: answering,
    lastMs: answered.maxUs / 1000,
    medianMs: answered.p50Us / 1000,
    pollingCpuSeconds: cpuSeconds(pids) - polling,
    bytesPerAnswer: answered.wireBytes / CLIENTS,
  };
}

async function until(clients: Subscribers, done: (report: PollsReport) => boolean): Promise<PollsReport> {
  const end = performance.now() + ANSWERS_TIMEOUT_MS;
  for (;;) {
    const report = await clients.report<PollsReport>();
    if (done(report)) return report;
    if (performance.now() > end) throw new Error(`long polls stay unanswered: ${JSON.stringify(report)}`);
    await Bun.sleep(WATCH_MS);
  }
}
