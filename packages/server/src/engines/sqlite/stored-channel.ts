/** A channel of the sqlite engine. */
import { ChannelHistory } from "../channel-history.ts";

export class StoredChannel extends ChannelHistory {
  /** Its id in the table; 0: it is not there, its numbering lives in memory alone. */
  id = 0;
  /** Publications up to here have been cleared. */
  floor = 0;
  /** The last offset given out in the transaction that is being prepared; `top` follows after the commit. */
  staged = 0;
}
