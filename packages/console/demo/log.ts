/** The list of messages: groups what one person writes in a row, keeps the end in view while the reader is there. */
import { byId, make, makeDisc, paint } from "./dom.ts";
import type { ChatMessage, SendState } from "./room.ts";
import type { Word, Words } from "./words.ts";

/** Messages of one person closer than this stand together. */
const GROUP_MS = 5 * 60_000;
/** Closer to the end than this counts as reading the newest. */
const NEAR_PX = 80;
/** Old ones leave the page. */
const SHOWN_MAX = 500;

interface Shown {
  readonly element: HTMLElement;
  readonly message: ChatMessage;
}

export class Log {
  readonly #list = byId("messages");
  readonly #below = byId("below");
  readonly #words: Words;
  readonly #self: string;
  readonly #again: (message: ChatMessage) => void;
  /** Own messages by id, until the next page. */
  readonly #own = new Map<string, Shown>();
  #last: ChatMessage | undefined;
  /** What an element says, to say it again in another language. */
  readonly #texts = new WeakMap<Element, () => string>();
  /** The reader was at the end when the list had its last size. */
  #follows = true;

  constructor(words: Words, self: string, again: (message: ChatMessage) => void) {
    this.#words = words;
    this.#self = self;
    this.#again = again;
    this.#list.addEventListener("scroll", () => {
      this.#follows = this.#isAtEnd;
      if (this.#follows) this.#below.hidden = true;
    });
    this.#below.addEventListener("click", () => this.#scroll());
    // The notice above and a phone's keyboard take room away: the end stays in view.
    new ResizeObserver(() => this.#follows && this.#scroll()).observe(this.#list);
  }

  /** Starts anew. Own messages that are not through yet stay. */
  begin(messages: readonly ChatMessage[]): void {
    const unsent = Array.from(this.#own.values()).filter(({ element }) => element.dataset["state"] !== "sent");
    this.clear();
    if (messages.length === 0 && unsent.length === 0) this.line("first", {}, "empty");
    for (const message of messages) this.#append(message, false);
    for (const { message, element } of unsent) {
      if (this.#own.has(message.id)) continue;
      this.#append(message, false);
      this.mark(message, element.dataset["state"] as SendState);
    }
    this.#scroll();
  }

  /** Own messages of which nobody knows yet whether they arrived. */
  get pending(): ChatMessage[] {
    return [...this.#own.values()]
      .filter(({ element }) => element.dataset["state"] === "pending")
      .map(({ message }) => message);
  }

  /** Says everything again, in the language of now. */
  redraw(): void {
    for (const element of this.#list.querySelectorAll("*")) {
      const text = this.#texts.get(element);
      if (text !== undefined) element.textContent = text();
    }
  }

  clear(): void {
    this.#list.replaceChildren();
    this.#own.clear();
    this.#last = undefined;
    this.#below.hidden = true;
  }

  /** A message of the channel. The own one is there already and is now certain. */
  add(message: ChatMessage): void {
    if (message.from === this.#self && this.#own.has(message.id)) {
      this.mark(message, "sent");
      return;
    }
    this.#following(() => this.#append(message, true), message.from === this.#self);
  }

  /** An own message and what became of it. */
  mark(message: ChatMessage, state: SendState): void {
    if (!this.#own.has(message.id)) this.#following(() => this.#append(message, true), true);
    const shown = this.#own.get(message.id);
    if (shown === undefined || shown.element.dataset["state"] === "sent") return;
    const { element } = shown;
    element.dataset["state"] = state;
    const meta = element.querySelector<HTMLElement>(".meta");
    const isPending = state === "pending";
    if (meta !== null)
      this.#write(meta, () => (isPending ? this.#words.say("sending") : this.#words.clock(message.time)));
    element.querySelector(".again")?.remove();
    if (state !== "failed") return;
    const again = this.#write(make("button", "again"), () => this.#words.say("failed"));
    again.type = "button";
    again.addEventListener("click", () => this.#again(message));
    this.#following(() => element.append(again), true);
  }

  /** A line about the room. */
  line(word: Word, values: Readonly<Record<string, string>> = {}, className: string = ""): void {
    this.#following(() => {
      this.#list.append(this.#write(make("li", `line ${className}`), () => this.#words.say(word, values)));
      this.#last = undefined;
    }, false);
  }

  get #isAtEnd(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  /** Changes the list and stays at its end if the reader was there, or wrote something. */
  #following(change: () => void, mine: boolean): void {
    const follows = mine || this.#isAtEnd;
    change();
    while (this.#list.childElementCount > SHOWN_MAX) this.#list.firstElementChild?.remove();
    if (follows) this.#scroll();
    else this.#below.hidden = false;
  }

  #scroll(): void {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#below.hidden = true;
  }

  #append(message: ChatMessage, isNew: boolean): void {
    this.#list.querySelector(".empty")?.remove();
    const isMine = message.from === this.#self && message.id !== "";
    const before = this.#last;
    this.#day(message.time);
    const isFirst =
      before === undefined ||
      before.from !== message.from ||
      before.name !== message.name ||
      message.time - before.time > GROUP_MS;
    const name = message.name || this.#words.say("somebody");
    const time = this.#write(make("time", "meta"), () => this.#words.clock(message.time));
    time.dateTime = new Date(message.time).toISOString();
    const author = this.#write(make("span", "author"), () => message.name || this.#words.say("somebody"));
    paint(author, name);
    const bubble = make("div", "bubble", make("span", "text", message.text), time);
    const classes = `message${isMine ? " mine" : ""}${isFirst ? " first" : ""}${isNew ? " new" : ""}`;
    const element = make("li", classes, makeDisc(name), author, bubble);
    element.dataset["testid"] = "message";
    if (isMine) {
      element.dataset["state"] = isNew ? "pending" : "sent";
      this.#own.set(message.id, { element, message });
    }
    this.#list.append(element);
    this.#last = message;
  }

  /** The day, where it is another than the one before. */
  #day(time: number): void {
    const day = new Date(time).toDateString();
    if (Array.from(this.#list.querySelectorAll<HTMLElement>(".day")).at(-1)?.dataset["day"] === day) return;
    const line = this.#write(make("li", "line day"), () => this.#words.day(time, Date.now()));
    line.dataset["day"] = day;
    this.#list.append(line);
  }

  #write<E extends HTMLElement>(element: E, text: () => string): E {
    this.#texts.set(element, text);
    element.textContent = text();
    return element;
  }
}
