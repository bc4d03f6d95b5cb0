/** Clients that come and go in all processes at once, while backends change, give and kick: what must hold whatever happens when. */
import { expect, test } from "bun:test";
import { type CoreSession, settle } from "../../test/support/core.ts";
import { arrive, clusterOf, hasNoBugs, pass, resumedOf } from "../../test/support/moving.ts";
import type { Session } from "./model.ts";

/** The same numbers for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = Math.imul(seed, 2_654_435_761) >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

interface Client {
  readonly user: string;
  readonly id: string;
  readonly pages: CoreSession[];
  isKicked: boolean;
}

const STEPS = 40;

function isOpen({ handle }: CoreSession): boolean {
  return (handle as Session).state === "open";
}

test.each(Array.from({ length: 40 }, (_, at) => at + 1))(
  "[NB-3] [BY-9] a session is with one process in the end, and with none once it was kicked (seed %i)",
  async (seed) => {
    const random = randomOf(seed);
    const size = 2 + random(2);
    const cluster = clusterOf(size);
    const anywhere = (): (typeof cluster.houses)[number] => cluster.house(random(size));
    const clients: Client[] = [];
    for (const user of ["ann", "bob"]) {
      const page = await anywhere().open({ user });
      clients.push({ user, id: page.handle.id, pages: [page], isKicked: false });
    }
    const asked: Promise<unknown>[] = [];
    const ask = (promise: Promise<unknown>): number => asked.push(promise.catch(() => undefined));
    const act = (client: Client, step: number): void => {
      const { id, user, pages } = client;
      const { control } = anywhere();
      const choice = random(10);
      if (choice < 4) pages.push(arrive(anywhere(), id, { token: user }));
      else if (choice < 6) ask(pages[random(pages.length)]?.drop() ?? Promise.resolve());
      else if (choice < 8) ask(control.patchSessionData(id, { [`k${step}`]: 1 }));
      else if (choice === 8) ask(control.subscribeUser(user, `c${step}`));
      else if (random(3) === 0)
        ask(control.disconnectSession(id, { reconnect: false }).then(() => (client.isKicked = true)));
    };
    for (let step = 0; step < STEPS; step++) {
      act(clients[random(clients.length)] as Client, step);
      for (let turns = random(7); turns > 0; turns--) await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await settle();
    await Promise.all(asked);
    await pass(cluster, 30_000);
    const users = clients.filter(({ pages }) => pages.some(isOpen)).length;
    expect((await anywhere().control.stats()).users).toBe(users);
    for (const { id, user, pages, isKicked } of clients) {
      const owners = pages.filter((page) => page.handle.id === id && isOpen(page));
      expect(owners.length).toBeLessThanOrEqual(isKicked ? 0 : 1);
      for (const { connection } of pages)
        expect(["connected", "disconnect", undefined]).toContain(connection.frames()[0]?.type);
      if (isKicked) expect(resumedOf(await anywhere().open({ user, session: id }))).toBe(false);
      for (const page of pages) await page.drop();
    }
    hasNoBugs(cluster);
  },
);
