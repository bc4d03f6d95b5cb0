/**
 * For WeChat mini programs, which have neither `WebSocket` nor `fetch` nor a page, only `wx`:
 *
 *     const client = connect("wss://push.example.com/ws", weChat(wx));
 *
 * Both domains, of the socket and of requests, have to stand in the mini program's list.
 */
import type { ClientOptions } from "./options.ts";
import type { StorageLike, Surroundings } from "./platform.ts";

export * from "./mod.ts";

/** The part of `SocketTask` in use. */
export interface SocketTaskLike {
  onOpen(listener: () => void): void;
  onMessage(listener: (result: { readonly data: string | ArrayBuffer }) => void): void;
  onClose(listener: (result: { readonly code?: number; readonly reason?: string }) => void): void;
  onError(listener: (result: { readonly errMsg?: string }) => void): void;
  send(options: { readonly data: string; readonly fail?: (result: { readonly errMsg?: string }) => void }): void;
  close(options: { readonly code?: number; readonly fail?: () => void }): void;
}

export interface WxRequest {
  readonly url: string;
  readonly method: "POST";
  readonly data: string;
  readonly header: Readonly<Record<string, string>>;
  /** Anything but `json`, so that the answer is not parsed. */
  readonly dataType: string;
  readonly responseType: "text";
  readonly success: (result: { readonly statusCode: number; readonly data: unknown }) => void;
  readonly fail: (result: { readonly errMsg?: string }) => void;
}

/** The part of `wx` in use. What takes a listener away again came to `wx` later than what adds it. */
export interface Wx {
  connectSocket(options: {
    readonly url: string;
    readonly fail?: (result: { readonly errMsg?: string }) => void;
  }): SocketTaskLike;
  request(options: WxRequest): { abort(): void };
  getStorageSync(key: string): unknown;
  setStorageSync(key: string, value: string): void;
  removeStorageSync(key: string): void;
  onNetworkStatusChange(listener: NetworkListener): void;
  offNetworkStatusChange?(listener: NetworkListener): void;
  onAppShow(listener: () => void): void;
  offAppShow?(listener: () => void): void;
  onAppHide(listener: () => void): void;
  offAppHide?(listener: () => void): void;
}

type NetworkListener = (result: { readonly isConnected: boolean }) => void;

/** The options with which a client runs in a mini program. Anything else can be added: `{ ...weChat(wx), token }`. */
export function weChat(wx: Wx): ClientOptions {
  const storage = storageOf(wx);
  return {
    transports: ["websocket", "poll"],
    WebSocket: socketOf(wx),
    ...requestsOf(wx),
    // There is one storage, and one "tab".
    storage: { session: storage, local: storage },
    surroundings: surroundingsOf(wx),
  };
}

type Listener<Event> = ((event: Event) => unknown) | null;

/* oxlint-disable unicorn/prefer-add-event-listener -- the shape that the client asks for, on a platform without events */
function socketOf(wx: Wx): NonNullable<ClientOptions["WebSocket"]> {
  return class Socket {
    onopen: Listener<never> = null;
    onmessage: Listener<never> = null;
    onclose: Listener<never> = null;
    onerror: Listener<never> = null;
    readonly #task: SocketTaskLike;
    #closed = false;

    constructor(url: string) {
      const fail = ({ errMsg }: { readonly errMsg?: string }): void => this.#end(1006, errMsg);
      const task = wx.connectSocket({ url, fail });
      this.#task = task;
      task.onOpen(() => {
        // One that was closed before it opened opens all the same.
        if (this.#closed) this.close();
        else this.onopen?.({} as never);
      });
      task.onMessage(({ data }) => this.#closed || this.onmessage?.({ data } as never));
      task.onClose(({ code, reason }) => this.#end(code, reason));
      task.onError(fail);
    }

    send(text: string): void {
      this.#task.send({ data: text, fail: ({ errMsg }) => this.#end(1006, errMsg) });
    }

    close(): void {
      this.#closed = true;
      this.#task.close({ code: 1000, fail: () => undefined });
    }

    /** An error may come with a close after it, or without. */
    #end(code?: number, reason?: string): void {
      if (this.#closed) return;
      this.#closed = true;
      this.onclose?.({ code, reason } as never);
    }
  };
}

/** As much of an `AbortController` as is needed where there is none. */
class Abort {
  readonly signal: { onabort: (() => void) | null } = { onabort: null };

  abort(): void {
    this.signal.onabort?.();
  }
}

function requestsOf(wx: Wx): Required<Pick<ClientOptions, "fetch" | "AbortController">> {
  return {
    AbortController: Abort,
    fetch: (url, { body, signal }) =>
      new Promise((resolve, reject) => {
        const task = wx.request({
          url,
          method: "POST",
          data: body,
          header: { "content-type": "text/plain" },
          dataType: "text",
          responseType: "text",
          success: ({ statusCode: status, data }) =>
            resolve({ ok: status >= 200 && status < 300, status, text: () => Promise.resolve(String(data)) }),
          fail: ({ errMsg }) => reject(new Error(errMsg)),
        });
        (signal as Abort["signal"]).onabort = () => task.abort();
      }),
  };
}
/* oxlint-enable unicorn/prefer-add-event-listener */

function storageOf(wx: Wx): StorageLike {
  return {
    getItem(key) {
      const value = wx.getStorageSync(key);
      // What is not there is an empty string.
      return typeof value === "string" && value !== "" ? value : null;
    },
    setItem: (key, value) => wx.setStorageSync(key, value),
    removeItem: (key) => wx.removeStorageSync(key),
  };
}

function surroundingsOf(wx: Wx): Surroundings {
  let online = true;
  return {
    online: () => online,
    hides: true,
    on(event, run) {
      if (event === "online" || event === "offline") {
        const listener: NetworkListener = ({ isConnected }) => {
          online = isConnected;
          if (isConnected === (event === "online")) run();
        };
        wx.onNetworkStatusChange(listener);
        return () => wx.offNetworkStatusChange?.(listener);
      }
      if (event === "hide") {
        wx.onAppHide(run);
        return () => wx.offAppHide?.(run);
      }
      // A mini program that comes to the front comes back from the background: that is one event here.
      if (event === "visible") return () => undefined;
      wx.onAppShow(run);
      return () => wx.offAppShow?.(run);
    },
  };
}
