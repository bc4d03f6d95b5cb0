import { beforeEach, describe, expect, test } from "bun:test";
import { type Api, LIMITS, startApi } from "../../test/support/api.ts";
import { EPOCH } from "../../test/support/fake-control.ts";
import { ReplyError } from "../base/failures.ts";
import { plainPublication } from "./publish-api.ts";
import { publication } from "./schemas.ts";

let api: Api;
beforeEach(() => {
  api = startApi();
});

const publish = (body: unknown, type?: string): ReturnType<Api["call"]> =>
  api.call("POST", "/api/publish", body, type === undefined ? {} : { type });

/** Data that reached Control. */
const published = (): unknown[] =>
  api.control.calls.map(([, request]) => JSON.parse((request as { data: string }).data));

describe("publish", () => {
  test("[AP-6] one target", async () => {
    const { status, body } = await publish({ channel: "room:1", data: "hi" });
    expect(status).toBe(200);
    expect(body).toEqual({ results: [{ channel: "room:1", epoch: EPOCH, offset: 1, online: true, subscribers: 1 }] });
    expect((await publish({ user: "bob", data: "hi" })).body.results[0].channel).toBe("@bob");
  });

  test("[AP-8] without history there is no offset", async () => {
    const { body } = await publish({ channel: "room:1", data: "hi", history: false });
    expect(body).toEqual({ results: [{ channel: "room:1", epoch: EPOCH, online: true, subscribers: 1 }] });
  });

  test("[AP-6] several targets are answered in the order named, a repeated one once", async () => {
    const { body } = await publish({ channels: ["b", "a", "b"], data: 1 });
    expect(body.results.map(({ channel, offset }: { channel: string; offset: number }) => [channel, offset])).toEqual([
      ["b", 1],
      ["a", 1],
    ]);
    expect(
      (await publish({ users: ["u", "v", "u"], data: 1 })).body.results.map(
        ({ channel }: { channel: string }) => channel,
      ),
    ).toEqual(["@u", "@v"]);
  });

  test("[AP-6] a thousand channels in one publish", async () => {
    const channels = Array.from({ length: 1000 }, (_, n) => `c${n}`);
    const { body } = await publish({ channels, data: 1 });
    expect(body.results.map(({ channel }: { channel: string }) => channel)).toEqual(channels);
  });

  test("[AP-7] one target that fails has the error's status; several have results of their own", async () => {
    const one = await publish({ channel: "a b", data: 1 });
    expect([one.status, one.body.error.code]).toEqual([400, 103]);
    const several = await publish({ channels: ["a b", "c"], data: 1 });
    expect(several.status).toBe(200);
    expect(several.body.results).toMatchObject([
      { channel: "a b", error: { code: 103 } },
      { channel: "c", offset: 1 },
    ]);
  });

  test("[AP-7] a bug at one target is logged and stays there", async () => {
    api.control.fail("publish", new TypeError("secret"));
    const { body } = await publish({ channels: ["a", "b"], data: 1 });
    expect(body.results).toMatchObject([
      { channel: "a", error: { code: 200 } },
      { channel: "b", offset: 1 },
    ]);
    expect(JSON.stringify(body)).not.toContain("secret");
    expect(api.errors).toHaveLength(1);
  });

  test("[AP-10] an idempotency key with other data is a conflict", async () => {
    const first = await publish({ channel: "a", data: 1, key: "k" });
    expect((await publish({ channel: "a", data: 1, key: "k" })).body).toEqual(first.body);
    const other = await publish({ channel: "a", data: 2, key: "k" });
    expect([other.status, other.body.error.code]).toEqual([409, 111]);
  });

  test("[BI-1] an encoding goes on with the data, from a publish, a batch and to a session", async () => {
    const bytes = { data: "AP8=", encoding: "base64" };
    await publish({ channel: "a", ...bytes });
    await publish({ channels: ["b", "c"], ...bytes });
    await api.call("POST", "/api/batch", {
      publications: [
        { channel: "d", ...bytes },
        { channel: "e", data: "AP8=" },
      ],
    });
    await api.call("POST", "/api/sessions/s1/send", bytes);
    const encodings = api.control.calls.map(([, ...given]) => (given.at(-1) as { encoding?: string }).encoding);
    expect(encodings).toEqual(["base64", "base64", "base64", "base64", undefined, "base64"]);
  });

  test("[BI-1] what is no base64 is refused with its path", async () => {
    for (const data of ["AP8", "AP8=\n", "_-8=", 5, null, ["AP8="], { a: "AP8=" }]) {
      const one = await publish({ channel: "a", data, encoding: "base64" });
      expect([data, one.status, one.body.error]).toMatchObject([data, 400, { code: 102, path: "data" }]);
      const publications = [{ channel: "a", data, encoding: "base64" }];
      const { body } = await api.call("POST", "/api/batch", { publications });
      expect(body.results).toMatchObject([{ error: { code: 102, path: "publications[0].data" } }]);
      const sent = await api.call("POST", "/api/sessions/s1/send", { data, encoding: "base64" });
      expect([sent.status, sent.body.error.path]).toEqual([400, "data"]);
    }
    const other = await publish({ channel: "a", data: "00", encoding: "hex" });
    expect([other.status, other.body.error.path]).toEqual([400, "encoding"]);
    expect(published()).toEqual([]);
  });

  test("[PU-9] data may be any JSON value, and goes on as it came", async () => {
    const values = [null, false, 0, "", "ü\u0000\ud83d\ude00", [], {}, { a: { b: [1.5] } }];
    for (const data of values) expect((await publish({ channel: "a", data })).status).toBe(200);
    expect(published()).toEqual(values);
  });

  test("data may have a key __proto__ and half a surrogate pair", async () => {
    await publish('{"channel":"a","data":{"__proto__":{"x":1},"s":"\\ud800"}}', "application/json");
    expect(api.control.calls[0]?.[1]).toMatchObject({ data: '{"__proto__":{"x":1},"s":"\\ud800"}' });
  });

  test("of a name that stands twice in JSON the last counts", async () => {
    await publish('{"channel":"a","data":1,"channel":"b"}', "application/json");
    expect(api.control.calls[0]?.[1]).toMatchObject({ channel: "b" });
  });
});

describe("[AP-3] wrong fields are named", () => {
  const wrong: readonly (readonly [unknown, string | undefined])[] = [
    [{ channel: "a" }, "data"],
    [{ channel: "a", data: 1, chanel: "b" }, "chanel"],
    [{ channel: "a", dat: 1 }, "dat"],
    [{ channel: 5, data: 1 }, "channel"],
    [{ channel: null, data: 1 }, "channel"],
    [{ channels: "a", data: 1 }, "channels"],
    [{ channels: [], data: 1 }, "channels"],
    [{ channels: ["a", 5], data: 1 }, "channels[1]"],
    [{ users: [{}], data: 1 }, "users[0]"],
    [{ channels: Array.from({ length: 10_001 }, (_, n) => `${n}`), data: 1 }, "channels"],
    [{ channel: "a", data: 1, name: "" }, "name"],
    [{ channel: "a", data: 1, name: "n".repeat(201) }, "name"],
    [{ channel: "a", data: 1, key: 7 }, "key"],
    [{ channel: "a", data: 1, history: "no" }, "history"],
    [{ channel: "a", data: 1, "odd name": 1 }, '["odd name"]'],
    [{ data: 1 }, undefined],
    [{ channel: "a", user: "b", data: 1 }, undefined],
    [JSON.parse('{"channel":"a","data":1,"__proto__":{"admin":true}}'), "__proto__"],
    [{ channel: "a", data: 1, constructor: 1 }, "constructor"],
  ];
  test.each(wrong)("%j", async (body, path) => {
    const answer = await publish(body);
    expect([answer.status, answer.body.error.code, answer.body.error.path]).toEqual([400, 102, path]);
    expect(answer.body.error.message).toContain(path ?? "exactly one of channel, channels, user, users");
    expect(api.control.calls).toEqual([]);
  });
});

const form = async (text: string): Promise<unknown> => {
  const { status, body } = await publish(text, "application/x-www-form-urlencoded; charset=UTF-8");
  return status === 200 ? api.control.calls.map(([, request]) => request) : [status, body.error.path];
};

describe("[AP-2] forms", () => {
  test("data is JSON if it parses, else a string", async () => {
    for (const text of ["hello+world%21", "%7B%22a%22%3A1%7D", "12", "true", "", "%22q%22", "null", "{oops"])
      await form(`channel=a&data=${text}`);
    expect(published()).toEqual(["hello world!", { a: 1 }, 12, true, "", "q", null, "{oops"]);
  });

  const lists: readonly string[] = [
    "channels=a,b",
    "channels=a&channels=b",
    "channel=a&channel=b",
    "channels[]=a&channels[]=b",
    "channels%5B0%5D=a&channels%5B1%5D=b",
  ];
  test.each(lists)("list %s", async (text) => {
    expect(await form(`${text}&data=1`)).toMatchObject([{ channel: "a" }, { channel: "b" }]);
  });

  test("[BI-1] with an encoding, data is text even where it would parse as JSON", async () => {
    for (const data of ["1234", "true", "null", "%22AP8%3D%22", "%2B%2F%2B%2F", ""]) {
      await form(`encoding=base64&channel=a&data=${data}`);
    }
    expect(published()).toEqual(["1234", "true", "null", "AP8=", "+/+/", ""]);
    expect(await form("channel=a&data=12&encoding=base64")).toEqual([400, "data"]);
    expect(await form("channel=a&data=1234&encoding=hex")).toEqual([400, "encoding"]);
  });

  test("flags are read where the field asks for one", async () => {
    expect(await form("channel=a&data=1&history=false&name=5")).toEqual([
      { channel: "a", data: "1", history: false, name: "5" },
    ]);
    expect(await form("channel=a&data=1&history=maybe")).toEqual([400, "history"]);
    expect((await api.call("POST", "/api/state/a", new URLSearchParams({ add: "2", ttlSeconds: "5" }))).body).toEqual({
      value: 2,
    });
    expect((await api.call("POST", "/api/state/a", new URLSearchParams({ add: "two" }))).body.error.path).toBe("add");
    await api.call("POST", "/api/sessions/s1/user", new URLSearchParams({ user: "" }));
    expect(api.control.calls.at(-1)).toEqual(["bindUser", "s1", null]);
  });

  test("a whole batch may stand in a field", async () => {
    const { body } = await api.call(
      "POST",
      "/api/batch",
      new URLSearchParams({ publications: '[{"channel":"a","data":1}]' }),
    );
    expect(body.results).toMatchObject([{ channel: "a", offset: 1 }]);
  });

  test("wrong forms", async () => {
    expect(await form("channel=a&data=1&data=2")).toEqual([400, "data"]);
    expect(await form("channel=a&data[x]=1")).toEqual([400, '["data[x]"]']);
    expect(await form("channel=a&data=1&__proto__=2")).toEqual([400, "__proto__"]);
    expect(await form("channels=&data=1")).toEqual([400, "channels"]);
    expect(await form("channel=a&data=100%")).toEqual([400, undefined]);
    expect(await form("channel=%ff&data=1")).toEqual([400, undefined]);
    const object = await api.call("PUT", "/api/sessions/s1/data", new URLSearchParams({ a: "1" }));
    expect([object.status, object.body.error.code]).toEqual([415, 116]);
  });
});

const nested = (levels: number): string => `${"[".repeat(levels)}${"]".repeat(levels)}`;

const sendData = async (data: string): Promise<unknown> => {
  const { status, body } = await publish(`{"channel":"a","data":${data}}`, "application/json");
  return status === 200 ? 200 : [status, body.error.code, body.error.path];
};

describe("bodies", () => {
  test("[AP-2] another content type is 415", async () => {
    for (const type of [
      "text/plain",
      "application/xml",
      "multipart/form-data; boundary=x",
      "application/json; charset=gbk",
      "",
    ]) {
      const { status, body } = await publish('{"channel":"a","data":1}', type);
      expect([type, status, body.error.code]).toEqual([type, 415, 116]);
    }
    expect((await publish('{"channel":"a","data":1}', "Application/JSON; charset=UTF-8")).status).toBe(200);
  });

  test("[AP-5] what is no JSON object is malformed", async () => {
    for (const body of ["", "{", "nonsense", "[]", "5", "null", '"text"', '{"channel":"a","data":1}}']) {
      const answer = await publish(body, "application/json");
      expect([answer.status, answer.body.error.code]).toEqual([400, 100]);
    }
  });

  test("[AP-5] what is not UTF-8 is malformed", async () => {
    const broken: readonly (readonly number[])[] = [
      [0xff],
      [0xc3],
      [0xe6, 0x88],
      [0xf0, 0x9f, 0x98],
      [0xed, 0xa0, 0x80],
      [0xc0, 0xaf],
    ];
    for (const bytes of broken) {
      const body = Buffer.concat([Buffer.from('{"channel":"a","data":"'), Uint8Array.from(bytes), Buffer.from('"}')]);
      const answer = await publish(body, "application/json");
      expect([bytes, answer.status, answer.body.error?.code]).toEqual([bytes, 400, 100]);
    }
    expect((await publish('{"channel":"a","data":"\ufffd"}', "application/json")).status).toBe(200);
  });

  test("a byte order mark does not matter", async () => {
    expect((await publish(`\ufeff{"channel":"a","data":1}`, "application/json")).status).toBe(200);
  });

  test("[AP-5] a body over the limit is 413", async () => {
    const { status, body } = await publish({ channel: "a", data: "x".repeat(LIMITS.bodyBytesMax) });
    expect([status, body.error.code]).toEqual([413, 104]);
  });

  test("data that is too large or too deep", async () => {
    expect(await sendData(nested(LIMITS.depthMax))).toBe(200);
    expect(await sendData(nested(LIMITS.depthMax + 1))).toEqual([400, 105, "data"]);
    expect(await sendData(nested(40_000))).toEqual([400, 105, "data"]);
    const fits = LIMITS.publicationBytesMax - 2;
    expect(await sendData(JSON.stringify("x".repeat(fits)))).toBe(200);
    expect(await sendData(JSON.stringify("x".repeat(fits + 1)))).toEqual([413, 104, "data"]);
    expect(await sendData(JSON.stringify("ü".repeat(fits / 2)))).toBe(200);
    expect(await sendData(JSON.stringify("ü".repeat(fits / 2 + 1)))).toEqual([413, 104, "data"]);
    for (const path of ["/api/sessions/s1/data", "/api/state/a"]) {
      const method = path.endsWith("data") ? "PUT" : "POST";
      const big = await api.call(method, path, { set: "x".repeat(fits + 1) });
      const deep = await api.call(method, path, `{"set":${nested(LIMITS.depthMax + 1)}}`, { type: "application/json" });
      expect([big.status, deep.status]).toEqual([413, 400]);
    }
  });
});

const batch = (publications: unknown): ReturnType<Api["call"]> => api.call("POST", "/api/batch", { publications });

describe("batch", () => {
  test("[AP-9] answers in order, each its own success or error", async () => {
    const { status, body } = await batch([
      { channel: "a", data: 1 },
      { channel: "a", data: 2, typo: 1 },
      { channels: ["a", "b c"], data: 3 },
      "nonsense",
      { user: "bob", data: 4 },
      { channel: "x y", data: 5 },
      { channel: "a", data: "x".repeat(3000) },
      { channel: "a", data: 6 },
    ]);
    expect(status).toBe(200);
    expect(body.results).toMatchObject([
      { channel: "a", offset: 1 },
      { error: { code: 102, path: "publications[1].typo" } },
      {
        results: [
          { channel: "a", offset: 2 },
          { channel: "b c", error: { code: 103 } },
        ],
      },
      { error: { code: 102, path: "publications[3]" } },
      { channel: "@bob", offset: 1 },
      { channel: "x y", error: { code: 103 } },
      { error: { code: 104, path: "publications[6].data" } },
      { channel: "a", offset: 3 },
    ]);
    expect(published()).toEqual([1, 3, 3, 4, 5, 6]);
  });

  test("[AP-9] all are handed over before the first is answered", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { control } = api;
    const original = control.publish.bind(control);
    control.publish = async (request) => {
      const answer = await original(request);
      await promise;
      return answer;
    };
    const answer = batch(Array.from({ length: 100 }, (_, n) => ({ channel: `c${n % 3}`, data: n })));
    await Bun.sleep(0);
    expect(published()).toEqual(Array.from({ length: 100 }, (_, n) => n));
    resolve();
    expect((await answer).body.results).toHaveLength(100);
  });

  test("[AP-9] one that cannot be kept does not stop the next", async () => {
    api.control.fail("publish", new ReplyError("unavailable"));
    expect(
      (
        await batch([
          { channel: "a", data: 1 },
          { channel: "a", data: 2 },
        ])
      ).body.results,
    ).toMatchObject([{ error: { code: 201 } }, { offset: 1 }]);
  });

  test("[AP-3] a batch that is none", async () => {
    for (const publications of [[], {}, undefined, "a", Array.from({ length: 10_001 }, () => 0)]) {
      const { status, body } = await batch(publications);
      expect([status, body.error.path]).toEqual([400, "publications"]);
    }
  });
});

describe("plainPublication", () => {
  const values: Readonly<Record<string, readonly unknown[]>> = {
    channel: ["a", "", 5, null, ["a"]],
    channels: [["a"], [], "a"],
    user: ["bob", "", false],
    users: [["bob"]],
    data: [1, null, "", { a: [1] }, "undefined"],
    name: ["n", "", "n".repeat(200), "n".repeat(201), "😀".repeat(100), "😀".repeat(101), 1, null],
    key: ["k", "", "k".repeat(201), {}],
    exclude: ["s", "", 0],
    encoding: ["base64", "base64", "hex", "", null, true],
    history: [true, false, "true", null, 0],
    typo: [1],
    __proto__x: [1],
  };
  const names = Object.keys(values);

  test("never lets pass what the schema refuses, and answers the same", () => {
    const random = new Random(20_261_120);
    let passed = 0;
    for (let n = 0; n < 20_000; n++) {
      const body: Record<string, unknown> = {};
      if (random.below(4) > 0) body["channel"] = "a";
      if (random.below(4) > 0) body["data"] = { n };
      for (let more = random.below(4); more > 0; more--) {
        const name = names[random.below(names.length)] ?? "";
        const choices = values[name] ?? [];
        body[name] = choices[random.below(choices.length)];
      }
      const text = JSON.stringify(body).replace("__proto__x", "__proto__");
      const plain = plainPublication(JSON.parse(text));
      const checked = publication.safeParse(JSON.parse(text));
      if (plain === undefined) continue;
      passed++;
      expect([text, checked.success]).toEqual([text, true]);
      expect(plain).toEqual(checked.data as typeof plain);
    }
    expect(passed).toBeGreaterThan(3000);
  });

  test("takes the common ones", () => {
    for (const body of [
      { channel: "a", data: 1 },
      { user: "bob", data: null, name: "n", key: "k", exclude: "s", history: false },
      { channel: "a", data: "AP8=", encoding: "base64" },
    ]) {
      expect(plainPublication(body)).toBe(body as never);
    }
  });

  test("leaves everything else to the schema", () => {
    for (const body of [
      null,
      5,
      "x",
      [],
      {},
      { channel: "a" },
      { channels: ["a"], data: 1 },
      { channel: "a", user: "b", data: 1 },
    ]) {
      expect(plainPublication(body)).toBeUndefined();
    }
  });
});

/** Mulberry32: the same numbers in every run. */
class Random {
  constructor(private state: number) {}

  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }
}
