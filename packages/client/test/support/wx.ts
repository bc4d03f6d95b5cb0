/**
 * A stand-in of `wx`, over real sockets, with the ways of the real one: callbacks instead of events and promises, text or `ArrayBuffer`
 * and nothing else in messages, at most 5 sockets and 10 requests at a time, an empty string for what is not stored,
 * an error when a socket that is not open is written to or closed, JSON parsed unless told otherwise.
 *
 *     const wx = new FakeWx();
 *     wx.blocked = true;                 // sockets fail from now on
 *     wx.hide(); wx.show();              // the program goes to the background and comes back
 *     wx.network(false);                 // there is none
 *     wx.sockets, wx.requests            // how many are open
 */
import type { SocketTaskLike, Wx, WxRequest } from "../../src/wechat.ts";

const SOCKETS_MAX = 5;
const REQUESTS_MAX = 10;

class FakeSocketTask implements SocketTaskLike {
  readonly #socket: WebSocket;

  constructor(url: string, ended: () => void) {
    this.#socket = new WebSocket(url);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.addEventListener("close", ended);
  }

  onOpen(listener: () => void): void {
    this.#socket.addEventListener("open", () => listener());
  }

  onMessage(listener: (result: { readonly data: string | ArrayBuffer }) => void): void {
    this.#socket.addEventListener("message", ({ data }) => listener({ data: data as string | ArrayBuffer }));
  }

  onClose(listener: (result: { readonly code?: number; readonly reason?: string }) => void): void {
    this.#socket.addEventListener("close", ({ code, reason }) => listener({ code, reason }));
  }

  onError(listener: (result: { readonly errMsg?: string }) => void): void {
    this.#socket.addEventListener("error", () => listener({ errMsg: "connectSocket:fail" }));
  }

  send({
    data,
    fail,
  }: {
    readonly data: string;
    readonly fail?: (result: { readonly errMsg?: string }) => void;
  }): void {
    if (typeof data !== "string" && !((data as unknown) instanceof ArrayBuffer))
      throw new TypeError("sendSocketMessage:fail data");
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(data);
    else setTimeout(() => fail?.({ errMsg: "sendSocketMessage:fail SocketTask.readyState is not OPEN" }));
  }

  close({ code = 1000, fail }: { readonly code?: number; readonly fail?: () => void }): void {
    if (code !== 1000 && (code < 3000 || code > 4999)) throw new RangeError("closeSocket:fail code");
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.close(code);
    else setTimeout(() => fail?.());
  }
}

export class FakeWx implements Wx {
  blocked = false;
  sockets = 0;
  requests = 0;
  readonly stored: Map<string, string> = new Map<string, string>();
  readonly #network = new Set<(result: { readonly isConnected: boolean }) => void>();
  readonly #shown = new Set<() => void>();
  readonly #hidden = new Set<() => void>();

  readonly connectSocket: Wx["connectSocket"] = ({ url, fail }) => {
    if (this.sockets >= SOCKETS_MAX) setTimeout(() => fail?.({ errMsg: "connectSocket:fail exceed max task count" }));
    this.sockets++;
    // A port on which nothing listens.
    return new FakeSocketTask(this.blocked ? "ws://127.0.0.1:1/" : url, () => this.sockets--);
  };

  readonly request = ({ url, method, data, header, dataType, success, fail }: WxRequest): { abort(): void } => {
    const controller = new AbortController();
    if (this.requests >= REQUESTS_MAX) {
      setTimeout(() => fail({ errMsg: "request:fail exceed max task count" }));
      return controller;
    }
    this.requests++;
    const answer = async (): Promise<() => void> => {
      try {
        const response = await fetch(url, { method, body: data, headers: header, signal: controller.signal });
        const text = await response.text();
        const result = {
          statusCode: response.status,
          data: dataType === "json" ? (JSON.parse(text) as unknown) : text,
        };
        return () => success(result);
      } catch (error) {
        return () => fail({ errMsg: `request:fail ${String(error)}` });
      } finally {
        this.requests--;
      }
    };
    void answer().then((tell) => tell());
    return controller;
  };

  readonly getStorageSync = (key: string): string => this.stored.get(key) ?? "";
  readonly setStorageSync = (key: string, value: string): void => void this.stored.set(key, value);
  readonly removeStorageSync = (key: string): void => void this.stored.delete(key);

  readonly onNetworkStatusChange: Wx["onNetworkStatusChange"] = (listener) => void this.#network.add(listener);
  readonly offNetworkStatusChange: Wx["onNetworkStatusChange"] = (listener) => void this.#network.delete(listener);
  readonly onAppShow: Wx["onAppShow"] = (listener) => void this.#shown.add(listener);
  readonly offAppShow: Wx["onAppShow"] = (listener) => void this.#shown.delete(listener);
  readonly onAppHide: Wx["onAppHide"] = (listener) => void this.#hidden.add(listener);
  readonly offAppHide: Wx["onAppHide"] = (listener) => void this.#hidden.delete(listener);

  get listeners(): number {
    return this.#network.size + this.#shown.size + this.#hidden.size;
  }

  hide(): void {
    for (const listener of this.#hidden) listener();
  }

  show(): void {
    for (const listener of this.#shown) listener();
  }

  network(isConnected: boolean): void {
    for (const listener of this.#network) listener({ isConnected });
  }
}
