/**
 * Tests that are left out where a suite runs on several processes or nodes (WORKERS, NODES), and why. Where a server is one process, all run.
 *
 *     test.skipIf(leftOut("limits"))("[LM-1] …", …);
 */
import { PROCESSES, SUITE } from "./server.ts";

const REASONS = {
  limits: {
    because:
      "each worker has a share of what is the server's, and limits per address are each one's own (WK-8): who is one too many depends on where it comes",
    when: PROCESSES > 1,
  },
  descriptors: {
    because: "the descriptors of one process are made to run out, and what it does then is looked at",
    when: PROCESSES > 1,
  },
  loop: { because: "the test holds up the event loop that it shares with the gateway", when: PROCESSES > 1 },
  ports: {
    because: "workers share their ports, by the means that must not work on the port of one process",
    when: SUITE.workers > 1,
  },
  balancer: {
    because:
      "the test's balancer stands between: addresses, ports that are taken and the ends of connections are its own",
    when: SUITE.nodes > 1,
  },
} as const;

export function leftOut(reason: keyof typeof REASONS): boolean {
  return REASONS[reason].when;
}
