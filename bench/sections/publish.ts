/** T7: the publish API without subscribers, against a bare Bun handler that parses and answers JSON. */
import { type Bench, median } from "../bench.ts";
import { post } from "../native.ts";
import { API_KEY, type MeasuredServer, startHandler, startLongwire } from "../servers.ts";
import { cpuSeconds, processTree } from "../usage.ts";

const IN_FLIGHT = 64;
const BATCH = 100;
const WARM_UP_SECONDS = 1;
const DATA = `{"p":"${"x".repeat(120)}"}`;
const SINGLE_RATIOS = { memory: 0.7, sqlite: 0.55 } as const;
const BATCH_RATES = { memory: 600_000, sqlite: 250_000 } as const;

interface Variant {
  readonly name: string;
  readonly server: MeasuredServer;
  readonly path: string;
  readonly body: string;
  readonly publications: number;
  readonly rates: number[];
  readonly serverCpuShares: number[];
  readonly publisherCpuShares: number[];
  readonly p99Us: number[];
}

function variant(name: string, server: MeasuredServer, publications: number): Variant {
  const one = `{"channel":"bench","data":${DATA}}`;
  const batch = `{"publications":[${Array.from({ length: publications }, () => one).join(",")}]}`;
  const figures = { rates: [], serverCpuShares: [], publisherCpuShares: [], p99Us: [] };
  if (publications === 1) return { name, server, path: server.publication.path, body: one, publications, ...figures };
  return { name, server, path: "/api/batch", body: batch, publications, ...figures };
}

export async function runPublish(bench: Bench): Promise<void> {
  const handler = await startHandler(bench);
  const memory = await startLongwire(bench, "memory");
  const sqlite = await startLongwire(bench, "sqlite");
  const yardstick = variant("bare Bun handler", handler, 1);
  const singles = {
    memory: variant("Longwire (memory), one by one", memory, 1),
    sqlite: variant("Longwire (sqlite), one by one", sqlite, 1),
  };
  const batches = {
    memory: variant(`Longwire (memory), batches of ${BATCH}`, memory, BATCH),
    sqlite: variant(`Longwire (sqlite), batches of ${BATCH}`, sqlite, BATCH),
  };
  const variants = [yardstick, singles.memory, singles.sqlite, batches.memory, batches.sqlite];
  for (const each of variants) await verify(each);
  for (let round = 1; round <= bench.options.rounds; round++) {
    bench.report.say(`publish API, round ${round} of ${bench.options.rounds}`);
    for (const each of variants) await measure(bench, each, round === 1);
  }
  for (const server of [handler, memory, sqlite]) await bench.children.stop(server.child);
  bench.report.table(
    `Publish API: ${IN_FLIGHT} requests in flight, no subscribers`,
    variants.map((each) => ({
      server: each.name,
      "publications/s": median(each.rates),
      "publications/CPU s": median(each.rates.map((_, round) => perCpuSecond(each, round))),
      "x handler": ratio(each, yardstick),
      "x handler by CPU time": ratio(each, yardstick, perCpuSecond),
      "p99 ms": median(each.p99Us) / 1000,
      "server CPU %": median(each.serverCpuShares) * 100,
      "publisher CPU %": median(each.publisherCpuShares) * 100,
    })),
  );
  for (const engine of ["memory", "sqlite"] as const) {
    const limit = SINGLE_RATIOS[engine];
    const measured = ratio(singles[engine], yardstick);
    const what = `publish one by one, ${engine}, against the bare handler`;
    bench.report.target({ id: "T7", what, measured, limit, good: "at least", unit: "x" });
  }
  for (const engine of ["memory", "sqlite"] as const) {
    const limit = BATCH_RATES[engine];
    const measured = median(batches[engine].rates);
    const what = `publish in batches of ${BATCH}, ${engine}`;
    bench.report.target({ id: "T7", what, measured, limit, good: "at least", unit: "/s" });
  }
}

/** The load generator looks at the status alone; this looks into one answer. */
async function verify({ name, server, path, body, publications }: Variant): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
    body,
  });
  const text = await response.text();
  const offsets = text.match(/"offset":/g)?.length ?? 0;
  if (response.status !== 200 || offsets !== publications || text.includes('"error"')) {
    throw new Error(`${name} answers ${response.status}: ${text.slice(0, 400)}`);
  }
}

async function measure(bench: Bench, each: Variant, cold: boolean): Promise<void> {
  const { header } = each.server.publication;
  const posting = {
    port: each.server.port,
    path: each.path,
    ...(header === undefined ? {} : { header }),
    body: each.body,
    connections: IN_FLIGHT,
    rate: 0,
  };
  if (cold) await post(bench.children, bench.tools, { ...posting, seconds: WARM_UP_SECONDS });
  const pids = processTree(each.server.child.pid);
  const before = cpuSeconds(pids);
  const report = await post(bench.children, bench.tools, { ...posting, seconds: bench.options.seconds });
  if (report.failed > 0) throw new Error(`${each.name}: ${report.failed} requests failed: ${report.failure}`);
  each.rates.push((report.ok * each.publications) / report.seconds);
  each.serverCpuShares.push((cpuSeconds(pids) - before) / report.seconds);
  each.publisherCpuShares.push(report.cpuSeconds / report.seconds);
  each.p99Us.push(report.p99Us);
}

function perSecond(each: Variant, round: number): number {
  return each.rates[round] ?? Number.NaN;
}

/** What is left when others use the machine: the rate had the server had a core to itself. */
function perCpuSecond(each: Variant, round: number): number {
  return perSecond(each, round) / (each.serverCpuShares[round] ?? Number.NaN);
}

function ratio(each: Variant, yardstick: Variant, value = perSecond): number {
  return median(each.rates.map((_, round) => value(each, round) / value(yardstick, round)));
}
