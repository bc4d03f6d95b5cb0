import { expect, test } from "bun:test";
import { buildCore, type CoreSession, OPEN, settle } from "../../test/support/core.ts";
import { FakeHooks, REFUSED, UNREACHABLE } from "../../test/support/fake-hooks.ts";
import type { Session } from "./model.ts";

/** The same numbers for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const CHANNELS = ["a", "b", "c", "d", "e", "f"];
const TYPES = ["publish", "publish", "publish", "subscribe", "unsubscribe", "history", "presence"];

interface Said {
  readonly id: number;
  readonly type: string;
  readonly channel: string;
}

test.each(Array.from({ length: 20 }, (_, at) => at + 1))(
  "[HK-8] [FR-6] [FR-9] whatever the application answers and when, commands about a channel are answered once and in order (seed %i)",
  async (seed) => {
    const random = randomOf(seed);
    const hooks = new FakeHooks();
    const channels = { ...OPEN, subscribe: "hook", publish: "hook", presence: "hook", history: "hook" } as const;
    const namespaces = new Map([["", channels]]);
    const house = buildCore({ hooks, settings: { channels, namespaces } });
    const sessions: CoreSession[] = [];
    for (let n = 0; n < 3; n++) sessions.push(await house.open());
    const said = new Map<CoreSession, Said[]>(sessions.map((session) => [session, []]));
    hooks.held = true;
    const answerOne = (): void => {
      const outcome = random(6);
      const given = outcome === 0 ? REFUSED : outcome === 1 ? UNREACHABLE : {};
      hooks.release(random(hooks.waiting.length), given);
    };
    for (let step = 0; step < 300; step++) {
      const session = sessions[random(sessions.length)] as CoreSession;
      const type = TYPES[random(TYPES.length)] ?? "";
      const channel = CHANNELS[random(CHANNELS.length)] ?? "";
      said.get(session)?.push({ id: step + 1, type, channel });
      house.gateway.receive(session.handle, JSON.stringify({ type, channel, id: step + 1, data: step + 1 }));
      if (random(4) === 0) await settle();
      if (random(2) === 0 && hooks.waiting.length > 0) answerOne();
    }
    for (await settle(); hooks.waiting.length > 0; await settle()) answerOne();
    for (const session of sessions) {
      const answered = session.connection.frames().flatMap((frame) => ("id" in frame ? [frame.id] : []));
      for (const channel of CHANNELS) {
        const ids = (said.get(session) ?? []).filter((one) => one.channel === channel).map(({ id }) => id);
        expect([channel, answered.filter((id) => id !== undefined && ids.includes(id))]).toEqual([channel, ids]);
      }
      const { pendingBytes, running, pending } = session.handle as Session;
      expect({ pendingBytes, running, pending }).toEqual({ pendingBytes: 0, running: 0, pending: null });
      expect(session.connection.paused).toBe(false);
      await house.gateway.settled(session.handle);
    }
    for (const channel of CHANNELS) {
      const { publications } = await house.control.history(channel, { limit: 100 });
      for (const session of sessions) {
        const own = new Set((said.get(session) ?? []).map(({ id }) => id));
        const published = publications.map(({ data }) => data as number).filter((id) => own.has(id));
        expect(published).toEqual(published.toSorted((a, b) => a - b));
      }
    }
    expect(house.errors).toEqual([]);
  },
);
