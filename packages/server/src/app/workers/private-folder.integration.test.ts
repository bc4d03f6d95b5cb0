import { expect, test } from "bun:test";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { lockFile } from "../../base/file-lock.ts";

/** In processes of their own: where temporary data goes is settled with the process. */
const MAKER = `
  import { existsSync } from "node:fs";
  import { systemClock } from ${JSON.stringify(join(import.meta.dir, "../../base/clock.ts"))};
  import { makePrivateFolder } from ${JSON.stringify(join(import.meta.dir, "private-folder.ts"))};
  const kept = [];
  for (let count = 0; count < 200; count++) {
    const folder = makePrivateFolder(systemClock);
    if (count % 2 === 0) folder.remove();
    else kept.push(folder.path);
  }
  process.exit(kept.every((path) => existsSync(path)) ? 0 : 1);
`;

function make(place: string) {
  return Bun.spawn([process.execPath, "-e", MAKER], { env: { PATH: process.env["PATH"], TMPDIR: place } });
}

test("[WK-7] supervisors that start together leave each other's folders alone, and take away what others have left", async () => {
  const place = mkdtempSync(join(tmpdir(), "lw-"));
  try {
    const makers = Array.from({ length: 3 }, () => make(place));
    for (const maker of makers) expect(await maker.exited).toBe(0);
    const held = join(place, "longwire-workers-heldon");
    mkdirSync(held);
    writeFileSync(join(held, "lock"), "");
    const lock = openSync(join(held, "lock"), "r");
    expect(lockFile(lock)).toBeTrue();
    const young = join(place, "longwire-workers-young1");
    mkdirSync(young);
    const last = make(place);
    expect(await last.exited).toBe(0);
    closeSync(lock);
    expect(existsSync(held) && existsSync(young)).toBeTrue();
    const names = [basename(held), basename(young)];
    // All that the first ones had kept is gone; the last one's own are there.
    expect(readdirSync(place).filter((name) => !names.includes(name)).length).toBe(100);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}, 60_000);
