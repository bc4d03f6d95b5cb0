/** An engine: a preset of the ports that keep things, opened and closed together. */
import type { Broker, Retention } from "./broker.ts";
import type { NodeBus } from "./node-bus.ts";
import type { PresenceStore } from "./presence.ts";
import type { StateStore } from "./state.ts";

export interface Engine {
  readonly broker: Broker;
  readonly presence: PresenceStore;
  readonly state: StateStore;
  readonly bus: NodeBus;
  /** Whether publishes can be kept right now, and if not, why: for readiness. */
  health(): { readonly ready: boolean; readonly reason?: string };
  /** Finishes what was accepted and lets go of files and locks. */
  close(): Promise<void>;
}

/** What every engine is told at its opening. */
export interface EngineSettings {
  /** Retention by channel name; called at publish and trim, cheap. */
  readonly retentionOf: (channel: string) => Retention;
  /** How long an idempotency key is remembered. */
  readonly idempotencyMs: number;
  /** What the keys may take in memory, if not as much as usual; beyond it a publish with a new key is refused. */
  readonly idempotencyBytesMax?: number;
  /** How long the numbering of a channel is remembered after its last publication. */
  readonly positionTtlMs: number;
}
