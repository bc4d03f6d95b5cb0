import { afterAll } from "bun:test";
import { brokerContract } from "../../../test/contracts/broker.ts";
import { presenceContract } from "../../../test/contracts/presence.ts";
import { stateContract } from "../../../test/contracts/state.ts";
import type { OpenEngine } from "../../../test/support/engine.ts";
import { SqliteFolders } from "../../../test/support/sqlite.ts";

const folders = new SqliteFolders();

afterAll(() => folders.remove());

const open: OpenEngine = (settings, sink, clock) =>
  Promise.resolve(folders.open(folders.make(), { settings, sink, clock }));

brokerContract("sqlite", open);
presenceContract("sqlite", open);
stateContract("sqlite", open);
