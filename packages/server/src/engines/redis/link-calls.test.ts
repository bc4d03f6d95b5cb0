import { expect, test } from "bun:test";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { ReplyError } from "../../base/failures.ts";
import { AnswerLost, RedisRefusal } from "./failures.ts";
import { scriptOf } from "./link.ts";
import { Calls, type Route, type Send } from "./link-calls.ts";

const SCRIPT = scriptOf("return 1");

interface Sent {
  readonly to: string;
  readonly command: string;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Servers that answer when the test says so. Commands are written down as `name key last word`. */
class FakeRoute implements Route {
  readonly sent: Sent[] = [];
  readonly redirections: string[] = [];
  readonly states: string[] = [];
  fault: string | undefined = undefined;
  home: string | undefined = "home";

  slotOf(key: string): number {
    return key.length;
  }
  senderOf(): Send {
    return this.home === undefined ? undefined : this.asked(this.home);
  }
  asked(to: string): Send {
    return (command) => {
      const { promise, resolve, reject } = Promise.withResolvers<unknown>();
      this.sent.push({ to, command: `${command[0]} ${command.at(-1)}`, resolve, reject });
      return promise;
    };
  }
  redirected(slot: number, address: string): void {
    this.redirections.push(`${slot} ${address}`);
    this.home = address;
  }
  refused(state: string): void {
    this.states.push(state);
  }

  take(): Sent[] {
    return this.sent.splice(0);
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function setUp() {
  const route = new FakeRoute();
  const clock = new FakeClock();
  const calls = new Calls(route, clock);
  const answers: unknown[] = [];
  const run = (word: string, key = "a"): void => {
    calls.run(SCRIPT, [key], [word], false).then(
      (answer) => answers.push(answer),
      (error: unknown) => answers.push(error),
    );
  };
  return { route, clock, answers, run };
}

const refuse = (sent: readonly Sent[], message: string): void => {
  for (const { reject } of sent) reject(new RedisRefusal(message));
};

test("[RD-10] those refused with one another go on in the order of the calls, ahead of those called since", async () => {
  const { route, run, answers } = setUp();
  for (const word of ["1", "2", "3"]) run(word);
  const [first, second, third] = route.take();
  first?.reject(new RedisRefusal("NOSCRIPT no matching script"));
  await settle();
  run("4");
  second?.reject(new RedisRefusal("NOSCRIPT no matching script"));
  await settle();
  expect(route.take()).toEqual([]);
  third?.resolve("third");
  await settle();
  const again = route.take();
  expect(again.map(({ command }) => command)).toEqual(["EVAL 1", "EVAL 2", "EVALSHA 4"]);
  for (const { command, resolve } of again) resolve(command);
  await settle();
  expect(answers).toEqual(["third", "EVAL 1", "EVAL 2", "EVALSHA 4"]);
});

test("[RD-11] another slot is not held up", async () => {
  const { route, run } = setUp();
  run("1", "a");
  const [held] = route.take();
  run("2", "bb");
  held?.reject(new RedisRefusal("TRYAGAIN multiple keys"));
  await settle();
  run("3", "bb");
  expect(route.take().map(({ command }) => command)).toEqual(["EVALSHA 2", "EVALSHA 3"]);
});

test("[RD-11] MOVED: the slot is looked for there; ASK: this call alone, and calls keep their order", async () => {
  const { route, clock, run } = setUp();
  run("1");
  refuse(route.take(), "MOVED 1 127.0.0.1:7001");
  await settle();
  expect(route.redirections).toEqual(["1 127.0.0.1:7001"]);
  clock.advance(50);
  const [moved] = route.take();
  expect(moved?.to).toBe("127.0.0.1:7001");
  run("2");
  moved?.reject(new RedisRefusal("ASK 1 127.0.0.1:7002"));
  refuse(route.take(), "ASK 1 127.0.0.1:7002");
  await settle();
  expect(route.take().map(({ to, command }) => `${to} ${command}`)).toEqual([
    "127.0.0.1:7002 EVALSHA 1",
    "127.0.0.1:7002 EVALSHA 2",
  ]);
  expect(route.redirections).toHaveLength(1);
});

test("[RD-11] what is refused again and again is `unavailable` in the end", async () => {
  const { route, clock, run, answers } = setUp();
  run("1");
  for (let tries = 0; tries < 150 && answers.length === 0; tries++) {
    refuse(route.take(), "TRYAGAIN multiple keys");
    await settle();
    clock.advance(50);
  }
  expect(answers).toMatchObject([{ error: "unavailable" }]);
  run("2");
  expect(route.take()).toHaveLength(1);
});

test("[RD-2] while nobody can be reached calls fail at once, those that waited too", async () => {
  const { route, clock, run, answers } = setUp();
  run("1");
  refuse(route.take(), "TRYAGAIN multiple keys");
  await settle();
  run("2");
  route.home = undefined;
  route.fault = "it is away";
  run("3", "other");
  clock.advance(50);
  await settle();
  expect(answers).toHaveLength(3);
  for (const answer of answers)
    expect(answer).toMatchObject({ error: "unavailable", message: expect.stringContaining("it is away") as string });
});

test("[RD-2] states of the server are `unavailable` and told of, bugs and lost answers stay what they are", async () => {
  const { route, run, answers } = setUp();
  const failures = [
    new RedisRefusal("OOM command not allowed when used memory > 'maxmemory'."),
    new RedisRefusal("READONLY You can't write against a read only replica."),
    new RedisRefusal("ERR The user executing the script can't run this command or subcommand script: 1"),
    new RedisRefusal("WRONGTYPE Operation against a key holding the wrong kind of value"),
    new AnswerLost("it broke"),
    new ReplyError("unavailable"),
  ];
  for (const failure of failures) {
    run("1");
    for (const { reject } of route.take()) reject(failure);
  }
  await settle();
  expect(answers.slice(0, 3)).toMatchObject(Array.from({ length: 3 }, () => ({ error: "unavailable" })));
  expect(route.states).toHaveLength(3);
  expect(answers.slice(3)).toEqual(failures.slice(3));
});
