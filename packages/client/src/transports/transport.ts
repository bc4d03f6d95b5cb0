/** Transport: how frames travel. The client knows only this contract. */

export interface TransportHandlers {
  /** The way is open: frames can be sent. */
  opened(): void;
  /** One whole frame. */
  received(text: string): void;
  /** The way is gone, or never opened. Called at most once, and last. */
  closed(code: number, reason: string): void;
}

export interface Link {
  /** May be called between `opened` and the end; frames arrive in the order of the calls. */
  send(text: string): void;
  /** No handler is called any more from here on. */
  close(): void;
}

export interface Transport {
  /** May throw where the url cannot be used at all. No handler is called before it returns. */
  open(url: string, handlers: TransportHandlers): Link;
}
