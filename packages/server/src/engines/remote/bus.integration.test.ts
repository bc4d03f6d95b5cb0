import { nodeBusContract } from "../../../test/contracts/node-bus.ts";
import { settingsOf } from "../../../test/support/engine.ts";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { buildRemote, type RemoteWorker, until } from "../../../test/support/remote.ts";
import { openMemoryEngine } from "../memory/engine.ts";

nodeBusContract("remote", async (answerings) => {
  const house = await buildRemote((sink) => openMemoryEngine(settingsOf(), sink, new FakeClock()));
  const workers: RemoteWorker[] = [];
  for (const answering of answerings) {
    const worker = await house.worker();
    worker.engine.bus.listen(answering);
    workers.push(worker);
  }
  const buses = workers.map(({ engine }) => engine.bus);
  await until(() => buses.every((bus) => bus.peers().length === buses.length - 1));
  return {
    buses,
    async elapse(ms) {
      // Questions that are on their way arrive first.
      for (const { caughtUp } of workers) await caughtUp().catch(() => undefined);
      house.clock.advance(ms);
    },
    async kill(at) {
      await workers[at]?.die();
      const mark = buses[at]?.self ?? "";
      await until(() => buses.every((bus, other) => other === at || !bus.peers().includes(mark)));
    },
    close: () => house.close(),
  };
});
