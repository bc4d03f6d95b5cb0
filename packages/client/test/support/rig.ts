/** A client on a fake server, clock and page, with everything that happened written down. */
import { Client } from "../../src/client.ts";
import type { ClientOptions } from "../../src/options.ts";
import type { ConnectionState } from "../../src/state.ts";
import { FakeClock, settle } from "./fake-clock.ts";
import { FakeServer } from "./fake-server.ts";
import { FakeSurroundings } from "./fake-surroundings.ts";

export class Rig {
  readonly server: FakeServer;
  readonly clock: FakeClock;
  readonly surroundings: FakeSurroundings = new FakeSurroundings();
  readonly client: Client;
  readonly states: ConnectionState[] = [];
  readonly errors: unknown[] = [];

  constructor(options: ClientOptions = {}, server: FakeServer = new FakeServer(), clock: FakeClock = new FakeClock()) {
    this.server = server;
    this.clock = clock;
    this.client = new Client("ws://test/ws", {
      transports: ["websocket"],
      WebSocket: server.WebSocket,
      clock,
      surroundings: this.surroundings,
      jitter: "none",
      random: () => 0.5,
      onError: (error) => this.errors.push(error),
      ...options,
    });
    this.client.on("state", (state) => this.states.push(state));
  }

  get statuses(): string[] {
    return this.states.map((state) => state.status);
  }

  async connect(): Promise<this> {
    this.client.connect();
    await settle();
    return this;
  }

  /** The connection breaks, and the next one stands after the backoff. */
  async cut(): Promise<void> {
    this.server.last.close(1006, "");
    await this.clock.advance(30_000);
  }
}
