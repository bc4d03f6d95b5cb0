/**
 * Looks from time to time whether a better transport works by now, beside the connection that stands: a frame of the
 * server is the proof, since something on the way may let the handshake pass and nothing else.
 */
import type { Clock, Timer } from "./platform.ts";
import type { Link, Transport } from "./transports/transport.ts";

const FIRST_MS = 30_000;
const LONGEST_MS = 600_000;

export interface ClimberSettings {
  readonly clock: Clock;
  readonly random: () => number;
  readonly transportTimeoutMs: number;
}

export interface Climber {
  /** The connection stands on the transport of this index. */
  start(current: number): void;
  stop(): void;
}

export function climber(
  { clock, random, transportTimeoutMs }: ClimberSettings,
  url: string,
  transports: readonly Transport[],
  found: (index: number) => void,
): Climber {
  let timer: Timer | undefined;
  let link: Link | undefined;
  let waitMs = FIRST_MS;
  const stop = (): void => {
    timer?.cancel();
    link?.close();
    link = undefined;
  };
  const look = (index: number, current: number): void => {
    const transport = transports[index];
    if (!transport || index === current) {
      start(current);
      return;
    }
    stop();
    const next = (): void => look(index + 1, current);
    timer = clock.after(transportTimeoutMs, next);
    try {
      link = transport.open(url, {
        standing: () => [{ type: "connect" }],
        opened: () => link?.send('{"type":"ping"}'),
        received() {
          stop();
          found(index);
        },
        closed: next,
      });
    } catch {
      next();
    }
  };
  const start = (current: number): void => {
    stop();
    if (current === 0) {
      waitMs = FIRST_MS;
      return;
    }
    // Clients that fell back together must not come back together.
    timer = clock.after(waitMs * (0.5 + random()), () => look(0, current));
    waitMs = Math.min(2 * waitMs, LONGEST_MS);
  };
  return { start, stop };
}
