/**
 * What processes use, read from /proc: the measured server takes no part in its own measurement.
 */
import { readFileSync, readdirSync } from "node:fs";

/** /proc counts CPU time in ticks; Linux has shown 100 a second to user space on every architecture for decades. */
const TICKS_PER_SECOND = 100;

/** The fields of /proc/PID/stat after the command name, which may itself hold blanks and brackets. */
function statFields(pid: number): string[] {
  return readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
}

/** A process and everything it started. */
export function processTree(root: number): number[] {
  const childrenOf = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    const parent = parentOf(pid);
    if (parent === undefined) continue;
    const siblings = childrenOf.get(parent);
    if (siblings === undefined) childrenOf.set(parent, [pid]);
    else siblings.push(pid);
  }
  const tree = [root];
  for (const pid of tree) tree.push(...(childrenOf.get(pid) ?? []));
  return tree;
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(statFields(pid)[1]);
  } catch {
    // Ended between the listing and the reading.
    return undefined;
  }
}

/** User and system time of all threads, to the hundredth of a second. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const fields = statFields(pid);
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_SECOND;
}

/**
 * The same to the microsecond, for what takes less than a tick: the scheduler's own books of every thread that is there. What threads took
 * that have ended is not in them.
 */
export function threadSeconds(pids: readonly number[]): number {
  let nanoseconds = 0;
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) nanoseconds += threadNanoseconds(pid, thread);
  }
  return nanoseconds / 1e9;
}

function threadNanoseconds(pid: number, thread: string): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  } catch {
    // Ended between the listing and the reading.
    return 0;
  }
}

/** VmRSS. */
export function residentBytes(pids: readonly number[]): number {
  let kilobytes = 0;
  for (const pid of pids) {
    const line = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    kilobytes += Number(line?.[1] ?? 0);
  }
  return kilobytes * 1024;
}

/**
 * CPU time of everything on the machine, in seconds since its start. Interrupts are left out, as no process is charged
 * with them.
 */
export function machineCpuSeconds(): number {
  const line = /^cpu +(.*)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? "";
  const [user = 0, nice = 0, system = 0, , , , , steal = 0] = line.split(" ").map(Number);
  return (user + nice + system + steal) / TICKS_PER_SECOND;
}
