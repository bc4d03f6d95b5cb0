/** For a script tag: `Longwire.connect()`. */
import { Channel, Client, connect, LongwireError } from "./mod.ts";

(globalThis as { Longwire?: unknown }).Longwire = { Channel, Client, connect, LongwireError };
