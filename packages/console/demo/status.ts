/** The state of the connection, in words, with a countdown to the next attempt. */
import type { ConnectionState } from "@longwire/client";
import { byId, make } from "./dom.ts";
import type { Words } from "./words.ts";

const TICK_MS = 250;

export class Status {
  readonly #state = byId("state");
  readonly #notice = byId("notice");
  readonly #text = byId("notice-text");
  readonly #words: Words;
  #shown: ConnectionState = { status: "idle" };
  #ticking: ReturnType<typeof setInterval> | undefined;

  constructor(words: Words, retry: () => void) {
    this.#words = words;
    byId("retry").addEventListener("click", retry);
  }

  show(state: ConnectionState): void {
    this.#shown = state;
    clearInterval(this.#ticking);
    if (state.status === "waiting") this.#ticking = setInterval(() => this.#tick(), TICK_MS);
    this.draw();
  }

  draw(): void {
    const state = this.#shown;
    const { status } = state;
    const transport = state.status === "connected" ? state.transport : undefined;
    this.#state.dataset["status"] = status;
    this.#state.dataset["transport"] = transport ?? "";
    // The countdown stands in the notice: a screen reader shall hear of the change, not of every second.
    const word = this.#words.say(status);
    const by = transport === undefined ? "" : this.#words.say(transport);
    if (this.#state.textContent !== (by === "" ? word : `${word} · ${by}`)) {
      this.#state.replaceChildren(...(by === "" ? [word] : [make("span", "connected", `${word} · `), by]));
    }
    this.#tick();
  }

  #tick(): void {
    const text = this.#noticeText();
    this.#notice.hidden = text === undefined;
    if (text !== undefined && this.#text.textContent !== text) this.#text.textContent = text;
  }

  #noticeText(): string | undefined {
    const state = this.#shown;
    if (state.status === "closed") return this.#words.say("ended", { reason: state.reason });
    if (state.status === "connecting") return state.attempt > 0 ? this.#words.say("retrying") : undefined;
    if (state.status !== "waiting") return undefined;
    const seconds = Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000));
    return this.#words.say(navigator.onLine ? "retryIn" : "noNetwork", { seconds });
  }
}
