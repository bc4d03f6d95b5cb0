/** The switch for the way to the server: one that the visitor names, or whichever the SDK finds to work. */
import { Client, type ClientOptions, type StorageLike } from "@longwire/client";
import { byId, make, recall, remember } from "./dom.ts";
import type { Words } from "./words.ts";

const CHOICES = ["automatic", "websocket", "stream", "sse", "poll"] as const;
type Choice = (typeof CHOICES)[number];

const KEY = "longwire demo transport";
/** A tab's own: two windows side by side can take different ways. */
const KEEPER = "sessionStorage";

export class TransportSwitch {
  readonly #select = byId("transport") as HTMLSelectElement;
  readonly #words: Words;
  #choice: Choice;

  constructor(words: Words, changed: () => void) {
    this.#words = words;
    this.#choice = CHOICES.find((choice) => choice === recall(KEY, KEEPER)) ?? "automatic";
    this.#select.append(...CHOICES.map((choice) => Object.assign(make("option", ""), { value: choice })));
    this.#select.value = this.#choice;
    this.#select.addEventListener("change", () => {
      this.#choice = this.#select.value as Choice;
      remember(KEY, this.#choice, KEEPER);
      changed();
    });
  }

  draw(): void {
    const label = this.#words.say("transport");
    this.#select.ariaLabel = byId("transport-label").title = label;
    for (const option of this.#select.options) option.textContent = this.#words.say(option.value as Choice);
  }

  /** A client that goes the chosen way, with the session and the positions that the last one of this tab left. */
  makeClient(): Client {
    return new Client(undefined, { persist: "session", ...this.#options });
  }

  get #options(): ClientOptions {
    if (this.#choice === "automatic") return {};
    return { transports: [this.#choice], storage: { session: withoutTransport } };
  }
}

/** The tab's storage, but for what the SDK remembers of transports: what was chosen here says nothing about what works. */
const withoutTransport: StorageLike = {
  getItem: (key) => (key.endsWith(" transport") ? null : sessionStorage.getItem(key)),
  setItem(key, value) {
    if (!key.endsWith(" transport")) sessionStorage.setItem(key, value);
  },
  removeItem: (key) => sessionStorage.removeItem(key),
};
