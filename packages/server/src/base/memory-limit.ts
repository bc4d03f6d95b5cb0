/** The memory that the process can have: the machine's, or less where a control group says so. */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { dirname } from "node:path/posix";

export function memoryLimitBytes(): number {
  return Math.min(totalmem(), ...controlGroupLimits());
}

/** A group is bound by those above it too. In a container its own is often the root of what can be seen. */
function controlGroupLimits(): number[] {
  const limits: number[] = [];
  for (const line of readText("/proc/self/cgroup").split("\n")) {
    const [, controllers = "", path = ""] = line.split(":");
    const isFirst = controllers.split(",").includes("memory");
    if (!isFirst && controllers !== "") continue;
    const [root, file] = isFirst
      ? ["/sys/fs/cgroup/memory", "memory.limit_in_bytes"]
      : ["/sys/fs/cgroup", "memory.max"];
    for (let group = path; group !== ""; group = group === "/" ? "" : dirname(group)) {
      const text = readText(`${root}${group === "/" ? "" : group}/${file}`).trim();
      // `max`, or a number beyond all memory, is none.
      if (/^\d+$/.test(text)) limits.push(Number(text));
    }
  }
  return limits;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
