/** Waits for what several Redis agree on by themselves; the limit is far beyond what a busy machine needs. */
const LIMIT_MS = 40_000;

export async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + LIMIT_MS;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`waited ${LIMIT_MS} ms in vain for ${what}`);
    await Bun.sleep(50);
  }
}
