/**
 * Tests about one process, and why they are left out where a suite runs on several (WORKERS, NODES). Where a server is one process, all run.
 *
 *     test.skipIf(leftOut("limits"))("[LM-1] …", …);
 */
import { PROCESSES } from "./server.ts";

const REASONS = {
  limits:
    "each worker has a share of what is the server's, and limits per address are each one's own (WK-8): who is one too many depends on where it comes",
  descriptors: "the descriptors of one process are made to run out, and what it does then is looked at",
  loop: "the test holds up the event loop that it shares with the gateway",
  ports: "workers share their ports, by the means that must not work on the port of one process",
} as const;

export function leftOut(_reason: keyof typeof REASONS): boolean {
  return PROCESSES > 1;
}
