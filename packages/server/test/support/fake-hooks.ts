/**
 * The application's answers, given by hand.
 *
 *     const hooks = new FakeHooks();
 *     const house = buildCore({ hooks, settings: { askConnect: "without-token", channels: { ...OPEN, publish: "hook" } } });
 *     hooks.asked;                                   // every question, in order, with its `event`
 *     hooks.answer = (question) => …                 // at once; what it throws is the refusal. The default says yes to all
 *     hooks.held = true;                             // from now on questions wait
 *     hooks.release(0, { data: '"other"' });         // the answer to the first of them; or an error
 */
import { ReplyError } from "../../src/base/failures.ts";
import type { Identity } from "../../src/ports/authority.ts";
import type * as port from "../../src/ports/hooks.ts";

export type Question =
  | ({ readonly event: "connect" } & port.ConnectQuestion)
  | ({ readonly event: "subscribe" } & port.SubscribeQuestion)
  | ({ readonly event: "publish" } & port.PublishQuestion);

/** Of a connect answer its identity and data, of a publish answer what is changed. */
export interface Given extends Partial<Identity>, Partial<port.PublishAnswer> {
  readonly sessionData?: port.ConnectAnswer["data"];
}

const NOBODY: Identity = { user: undefined, expiresAt: undefined, channels: [], info: undefined, allow: undefined };

export const REFUSED = new ReplyError("forbidden", "not you");
export const UNREACHABLE = new ReplyError("unavailable", "the application cannot be asked", 700);

export class FakeHooks implements port.Hooks {
  readonly asked: Question[] = [];
  answer: (question: Question) => Given = () => ({});
  held = false;
  readonly #waiting: { readonly question: Question; readonly resolve: (given: Given | ReplyError) => void }[] = [];

  async connect(question: port.ConnectQuestion): Promise<port.ConnectAnswer> {
    const { sessionData, ...identity } = await this.#ask({ event: "connect", ...question });
    return { identity: { ...NOBODY, ...identity }, data: sessionData };
  }

  async subscribe(question: port.SubscribeQuestion): Promise<void> {
    await this.#ask({ event: "subscribe", ...question });
  }

  async publish(question: port.PublishQuestion): Promise<port.PublishAnswer> {
    const { data, encoding, name } = question;
    return { data, encoding, name, ...(await this.#ask({ event: "publish", ...question })) };
  }

  /** Questions that wait. */
  get waiting(): readonly Question[] {
    return this.#waiting.map(({ question }) => question);
  }

  release(index: number, given: Given | ReplyError = {}): void {
    const [one] = this.#waiting.splice(index, 1);
    if (one === undefined) throw new Error("no such question is waiting");
    one.resolve(given);
  }

  async #ask(question: Question): Promise<Given> {
    this.asked.push(question);
    const given = this.held
      ? await new Promise<Given | ReplyError>((resolve) => void this.#waiting.push({ question, resolve }))
      : this.answer(question);
    if (given instanceof ReplyError) throw given;
    return given;
  }
}
