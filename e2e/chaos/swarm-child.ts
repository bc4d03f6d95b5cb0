/** A process full of clients: bare WebSockets that keep their positions and come back, each with its own account of what it got. */
import type { Command, Position, ServerFrame } from "@longwire/protocol";
import { Random } from "@longwire/protocol/test/random";
import { Ledger } from "./ledger.ts";
import type { Answer, Asked, ClientPlan, Report, Totals, Truth, Wish } from "./messages.ts";

/** A server that is stopped takes connections and says nothing. */
const OPEN_MS = 5000;
const BACK_MS = { least: 20, most: 500 };
const RETRY_MS = 300;
const OPENING_AT_ONCE = 50;

/** Ids: of `connect`, and before the number of a channel that of its `subscribe`. */
const CONNECT_ID = 1;
const FIRST_SUBSCRIBE_ID = 2;

interface Following {
  readonly channel: string;
  readonly ledger: Ledger;
  position: Position | undefined;
  isSubscribed: boolean;
}

interface Data {
  readonly number: number;
}

const codes: Record<string, number> = {};
const count = (what: string): void => void (codes[what] = (codes[what] ?? 0) + 1);

class BareClient {
  readonly following: readonly Following[];
  connects = 0;
  isOver = false;
  #session: string | undefined;
  #socket: WebSocket | undefined;

  constructor(
    private readonly url: string,
    readonly plan: ClientPlan,
    private readonly random: Random,
  ) {
    this.following = plan.channels.map((channel) => ({
      channel,
      ledger: new Ledger(),
      position: undefined,
      isSubscribed: false,
    }));
  }

  open(): void {
    if (this.isOver) return;
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    this.connects++;
    const timer = setTimeout(() => this.#drop(socket), OPEN_MS);
    socket.addEventListener("open", () => {
      const { token } = this.plan;
      const session = this.#session;
      this.#say({
        type: "connect",
        id: CONNECT_ID,
        ...(token !== undefined && { token }),
        ...(session !== undefined && { session }),
      });
    });
    socket.addEventListener("message", ({ data }) => {
      if (this.#socket !== socket) return;
      const frame = JSON.parse(String(data)) as ServerFrame;
      if (frame.type === "connected") clearTimeout(timer);
      this.#take(frame);
    });
    socket.addEventListener("close", ({ code }) => {
      clearTimeout(timer);
      count(`closed ${code}`);
      if (this.#socket === socket) this.#comeBack();
    });
  }

  leave(): void {
    this.isOver = true;
    if (this.#socket !== undefined) this.#drop(this.#socket);
  }

  #drop(socket: WebSocket): void {
    (socket as WebSocket & { terminate(): void }).terminate();
    if (this.#socket === socket) this.#comeBack();
  }

  #comeBack(): void {
    this.#socket = undefined;
    for (const one of this.following) one.isSubscribed = false;
    setTimeout(() => this.open(), BACK_MS.least + this.random.below(BACK_MS.most - BACK_MS.least));
  }

  #say(command: Command): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(command));
  }

  #subscribe(at: number): void {
    const one = this.following[at];
    if (one === undefined) return;
    const { channel, position } = one;
    this.#say({
      type: "subscribe",
      id: at + FIRST_SUBSCRIBE_ID,
      channel,
      ...(position !== undefined && { since: position }),
      ...(at === 0 && { presence: true }),
    });
  }

  #take(frame: ServerFrame): void {
    if (frame.type === "message") {
      this.#message(frame.channel ?? "", frame.offset ?? 0, frame.data as unknown as Data);
    } else if (frame.type === "connected") {
      this.#session = frame.session;
      this.following.forEach((_, at) => this.#subscribe(at));
    } else if (frame.type === "subscribed") this.#subscribed(frame.channel, frame, frame.recovered);
    else if (frame.type === "error") this.#refused(frame.id ?? 0, frame.code);
    else if (frame.type === "disconnect") count(`goodbye ${frame.code}`);
    else if (frame.type === "unsubscribed") {
      count(`unsubscribed ${frame.code}`);
      this.#subscribe(this.following.findIndex(({ channel }) => channel === frame.channel));
    }
  }

  #message(channel: string, offset: number, { number }: Data): void {
    const one = this.following.find((candidate) => candidate.channel === channel);
    if (one?.position === undefined) return count("message without subscription");
    if (offset !== one.position.offset + 1) count("offset that does not follow");
    one.position = { epoch: one.position.epoch, offset };
    one.ledger.got(number);
  }

  #subscribed(channel: string, { epoch, offset }: Position, isRecovered: boolean): void {
    const one = this.following.find((candidate) => candidate.channel === channel);
    if (one === undefined) return;
    if (one.position !== undefined && !isRecovered) one.ledger.tell();
    one.position = { epoch, offset };
    one.isSubscribed = true;
  }

  #refused(id: number, code: number): void {
    count(`refused ${code}`);
    const socket = this.#socket;
    if (id === CONNECT_ID && socket !== undefined) this.#drop(socket);
    else
      setTimeout(() => {
        if (this.#socket === socket) this.#subscribe(id - FIRST_SUBSCRIBE_ID);
      }, RETRY_MS);
  }
}

let clients: BareClient[] = [];
const living = (): BareClient[] => clients.filter(({ isOver }) => !isOver);

async function start(url: string, seed: number, plans: readonly ClientPlan[]): Promise<number> {
  const random = new Random(seed);
  clients = plans.map((plan) => new BareClient(url, plan, new Random(random.below(2 ** 31))));
  for (let at = 0; at < clients.length; at += OPENING_AT_ONCE) {
    for (const client of clients.slice(at, at + OPENING_AT_ONCE)) client.open();
    await Bun.sleep(10);
  }
  return clients.length;
}

function behind(totals: Totals): number {
  const all = living().flatMap(({ following }) => following);
  return all.filter(({ channel, ledger, isSubscribed }) => !isSubscribed || ledger.last < (totals[channel] ?? 0))
    .length;
}

function truth(): Truth {
  const present: Record<string, number> = {};
  for (const { following } of living()) {
    const first = following[0]?.channel ?? "";
    present[first] = (present[first] ?? 0) + 1;
  }
  const users = new Set(living().flatMap(({ plan }) => plan.user ?? []));
  return { sessions: living().length, users: [...users], present };
}

function report(totals: Totals): Report {
  const accounts = living()
    .flatMap(({ following }) => following)
    .map(({ channel, ledger }) => ({ channel, who: "bare", ...ledger.account(totals[channel] ?? 0) }));
  return {
    subscriptions: accounts.length,
    connects: clients.reduce((sum, { connects }) => sum + connects, 0),
    codes,
    accounts: accounts.filter(
      ({ missing, doubled, disordered, told }) => missing.length + doubled + disordered + told.length > 0,
    ),
  };
}

function answer(wish: Wish): Answer | Promise<Answer> {
  switch (wish.type) {
    case "start":
      return start(wish.plan.url, wish.plan.seed, wish.plan.clients);
    case "behind":
      return behind(wish.totals);
    case "leave":
      for (const client of living().slice(-wish.count)) client.leave();
      return living().length;
    case "truth":
      return truth();
    case "report":
      return report(wish.totals);
    case "end":
      for (const client of living()) client.leave();
      return 0;
  }
}

process.on("message", (asked: Asked) => {
  void Promise.resolve(answer(asked.wish)).then((found) => process.send?.({ id: asked.id, answer: found }));
});
// The run has ended, however it did.
process.on("disconnect", () => process.exit(0));
