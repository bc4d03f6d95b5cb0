/** Descriptors: how many the process may have open, and whether there is room for more. */
import { closeSync, openSync, readFileSync } from "node:fs";

/** The limit of open descriptors as the runtime has raised it; undefined where it cannot be read. */
export function descriptorLimit(): number | undefined {
  const limit = Number(process.platform === "linux" ? linuxLimit() : shellLimit());
  return Number.isSafeInteger(limit) && limit > 0 ? limit : undefined;
}

function linuxLimit(): string | undefined {
  try {
    return /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  } catch {
    return undefined;
  }
}

/** A child inherits it. */
function shellLimit(): string | undefined {
  try {
    return Bun.spawnSync(["sh", "-c", "ulimit -n"]).stdout.toString().trim();
  } catch {
    return undefined;
  }
}

/**
 * Whether `count` more descriptors fit below `mark`. The kernel hands out the lowest free number, so opening something tells; to
 * count what is open would cost a walk through all of them.
 */
export function hasRoomBelow(mark: number, count: number): boolean {
  const taken: number[] = [];
  try {
    while (taken.length < count) {
      const descriptor = openSync("/dev/null", "r");
      taken.push(descriptor);
      if (descriptor >= mark) return false;
    }
    return true;
  } catch {
    return false;
  } finally {
    for (const descriptor of taken) closeSync(descriptor);
  }
}
