/** For a script tag: `Longwire.connect()`. */
import { Channel, Client, connect, LongwireError } from "./mod.ts";

Object.assign(globalThis, { Longwire: { Channel, Client, connect, LongwireError } });
