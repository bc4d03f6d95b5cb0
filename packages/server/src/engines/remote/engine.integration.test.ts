import { afterAll } from "bun:test";
import { brokerContract } from "../../../test/contracts/broker.ts";
import { presenceContract } from "../../../test/contracts/presence.ts";
import { stateContract } from "../../../test/contracts/state.ts";
import type { OpenEngine } from "../../../test/support/engine.ts";
import { remoteOver } from "../../../test/support/remote.ts";
import { SqliteFolders } from "../../../test/support/sqlite.ts";
import { openMemoryEngine } from "../memory/engine.ts";

const folders = new SqliteFolders();
afterAll(() => folders.remove());

const behind: Readonly<Record<string, OpenEngine>> = {
  memory: (settings, sink, clock) => Promise.resolve(openMemoryEngine(settings, sink, clock)),
  sqlite: (settings, sink, clock) => Promise.resolve(folders.open(folders.make(), { settings, sink, clock })),
};

for (const [name, open] of Object.entries(behind)) {
  brokerContract(`remote over ${name}`, remoteOver(open));
  presenceContract(`remote over ${name}`, remoteOver(open));
  stateContract(`remote over ${name}`, remoteOver(open));
}
