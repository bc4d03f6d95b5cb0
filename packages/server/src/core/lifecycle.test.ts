import { expect, test } from "bun:test";
import { buildCore } from "../../test/support/core.ts";

test("[LI-6] setting the machine's clock is no silence, and no sign of life either", async () => {
  const house = buildCore();
  const bob = await house.open();
  house.clock.jump(3_600_000);
  house.clock.advance(26_000);
  expect(bob.connection.goodbye).toBeUndefined();
  expect(bob.connection.pings).toBe(1);
  house.gateway.heard(bob.handle);
  house.clock.jump(-7_200_000);
  house.clock.advance(60_000);
  expect(bob.connection.goodbye?.disconnect).toBe("noPong");
});

test("[CO-7] a token runs out by the machine's clock, also when that has been set", async () => {
  const house = buildCore({ settings: { pingTimeoutMs: 600_000 } });
  const bob = await house.open({ user: JSON.stringify({ user: "bob", expiresAt: house.clock.now() + 3_600_000 }) });
  house.clock.jump(3_590_000);
  house.clock.advance(26_000);
  expect(bob.connection.goodbye?.disconnect).toBe("expiredToken");
});
