/** StateStore in Redis. Every key is a key there, and expires there. What is not known to be done is `unavailable`; it may have been done. */
import type { Position } from "@longwire/protocol";
import { ReplyError } from "../../base/failures.ts";
import { DEVICES_MAX, type StateStore } from "../../ports/state.ts";
import { deviceUserOf } from "../state-rules.ts";
import { orUnavailable } from "./answers.ts";
import { keyOf } from "./keys.ts";
import type { Link } from "./link.ts";
import { ACKNOWLEDGE, ADD, NO_FINITE_SUM, NO_NUMBER } from "./state-scripts.ts";

/** Longer lives than these Redis does not take. */
const TTL_MAX_MS = 2 ** 43;

export class RedisState implements StateStore {
  constructor(
    private readonly link: Link,
    private readonly prefix: string,
    private readonly positionTtlMs: number,
  ) {}

  async get(key: string): Promise<string | undefined> {
    const text = await this.#call(key, (name) => ["GET", name]);
    return typeof text === "string" ? text : undefined;
  }

  async set(key: string, value: string, ttlMs: number | undefined): Promise<void> {
    await this.#call(key, (name) => ["SET", name, value, ...(ttlMs === undefined ? [] : ["PX", ttlOf(ttlMs)])]);
  }

  async add(key: string, amount: number, ttlMs: number | undefined): Promise<number> {
    const args = [JSON.stringify(amount), ...(ttlMs === undefined ? [] : [ttlOf(ttlMs)])];
    const sum = String(await orUnavailable(this.link.run(ADD, [this.#nameOf(key)], args)));
    if (sum === NO_NUMBER) throw new ReplyError("badField", "the value is no number, so nothing can be added");
    if (sum === NO_FINITE_SUM) throw new ReplyError("badField", "the sum is no finite number");
    return Number(sum);
  }

  async touch(key: string, ttlMs: number): Promise<boolean> {
    return Number(await this.#call(key, (name) => ["PEXPIRE", name, ttlOf(ttlMs)])) === 1;
  }

  async remove(key: string): Promise<boolean> {
    return Number(await this.#call(key, (name) => ["DEL", name])) === 1;
  }

  #nameOf(key: string): string {
    return keyOf(this.prefix, "v", key);
  }

  #call(key: string, commandOf: (name: string) => string[]): Promise<unknown> {
    const name = this.#nameOf(key);
    return orUnavailable(this.link.call(name, commandOf(name)));
  }

  #metaOf(channel: string): string {
    return keyOf(this.prefix, "m", channel);
  }

  async position(channel: string, holder: string): Promise<Position | undefined> {
    const { field, device } = placeOf(holder);
    const meta = this.#metaOf(channel);
    const text = await orUnavailable(this.link.call(meta, ["HGET", meta, field]));
    for (const line of typeof text === "string" ? text.split("\n") : []) {
      const [epoch = "", offset = "", , ...rest] = line.split(" ");
      if (rest.join(" ") === device) return { epoch, offset: Number(offset) };
    }
    return undefined;
  }

  async acknowledge(channel: string, holder: string, position: Position): Promise<Position> {
    const { field, device } = placeOf(holder);
    // As long as a numbering lives after a use.
    const limits = [2 * this.positionTtlMs, DEVICES_MAX].map(String);
    const args = [field, device, position.epoch, String(position.offset), ...limits];
    const [epoch, offset] = (await orUnavailable(this.link.run(ACKNOWLEDGE, [this.#metaOf(channel)], args))) as [
      unknown,
      unknown,
    ];
    return { epoch: String(epoch), offset: Number(offset) };
  }
}

/** Where a holder's position stands. Devices have names of their own choice: as JSON text they hold no line break. */
function placeOf(holder: string): { readonly field: string; readonly device: string } {
  const user = deviceUserOf(holder);
  if (user === undefined) return { field: `u${holder}`, device: "" };
  return { field: `d${user}`, device: JSON.stringify(holder.slice(user.length + 1)) };
}

function ttlOf(ttlMs: number): string {
  return String(Math.min(Math.max(1, Math.ceil(ttlMs)), TTL_MAX_MS));
}
