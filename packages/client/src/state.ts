/** States of the connection and of a channel, as unions: each carries only its own fields. */
import type { Position } from "@longwire/protocol";
import type { TransportName } from "./transports/transport.ts";

/**
 * - `idle`: nobody asked for a connection, or `disconnect()` was called.
 * - `connecting`: a token is fetched, a socket opened, a greeting awaited.
 * - `connected`: `resumed` says whether the session is the one of before, `transport` over what.
 * - `waiting`: attempt number `attempt` starts at `retryAt` (Unix milliseconds), or at once by `connect()`.
 * - `closed`: the server said not to come back. `connect()` tries all the same.
 */
export type ConnectionState =
  | { readonly status: "idle" }
  | { readonly status: "connecting"; readonly attempt: number }
  | {
      readonly status: "connected";
      readonly session: string;
      readonly user?: string | undefined;
      readonly resumed: boolean;
      readonly transport: TransportName;
    }
  | {
      readonly status: "waiting";
      readonly attempt: number;
      readonly retryAt: number;
      readonly code: number;
      readonly reason: string;
    }
  | { readonly status: "closed"; readonly code: number; readonly reason: string };

/**
 * - `unsubscribed`: with `code` and `reason` when the server ended or refused it.
 * - `subscribing`: asked for; also while the connection is away.
 * - `subscribed`: live from `position` on. `recovered: false`: what lay between the position of before and this one is
 *   not to be had; load the page's data anew.
 */
export type ChannelState =
  | { readonly status: "unsubscribed"; readonly code?: number; readonly reason?: string | undefined }
  | { readonly status: "subscribing" }
  | { readonly status: "subscribed"; readonly recovered: boolean; readonly position: Position };
