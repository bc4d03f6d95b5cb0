/** Locks of the operating system on open files: gone with the process, however it ends (Linux). */
import { openLibrary } from "./libc.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;

/** Locks the file for as long as this descriptor is open. False: somebody else has it locked. */
export function lockFile(file: number): boolean {
  return openLibrary().flock(file, LOCK_EX | LOCK_NB) === 0;
}
