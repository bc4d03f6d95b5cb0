import { expect, test } from "bun:test";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { RecordingLog } from "../../../test/support/redis-broker.ts";
import { Lease, LEASE_TIMES } from "./lease.ts";
import type { Link } from "./link.ts";

/** One lease, and a Redis that says what the test says. */
function setUp() {
  const clock = new FakeClock();
  const redis = { aheadMs: 1_000_000, claimable: [] as string[] };
  const claimed: string[] = [];
  const link = {
    connections: [],
    publishCommand: "PUBLISH",
    run: () => Promise.resolve([0, "1", redis.claimable, [], clock.uptime() + redis.aheadMs]),
  } as unknown as Link;
  const deps = { link, prefix: "p", mark: "marked", times: LEASE_TIMES, clock, log: new RecordingLog() };
  const lease = new Lease(deps, {
    fenced: () => undefined,
    forgotten: () => undefined,
    claimable: (owners) => claimed.push(...owners),
    left: () => undefined,
  });
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 1_000) {
      clock.advance(1_000);
      await Bun.sleep(0);
    }
  };
  return { lease, redis, claimed, pass };
}

// Leases that had just been renewed had all ended, and whoever came first took all others for dead.
test("[RD-16] Redis's clock is set forward: nobody is taken for dead before all have had time to renew", async () => {
  const { lease, redis, claimed, pass } = setUp();
  await lease.start();
  await pass(30_000);
  redis.aheadMs += 60_000;
  redis.claimable = ["others"];
  await pass(9_000);
  expect(claimed).toEqual([]);
  redis.claimable = [];
  await pass(60_000);
  redis.claimable = ["dead"];
  await pass(3_000);
  expect(claimed).toEqual(["dead"]);
  lease.stop();
});
