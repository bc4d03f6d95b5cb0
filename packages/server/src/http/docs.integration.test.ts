/**
 * docs/http-api.md says what is true: its curl lines are sent, in order, to the API, and the answers compared with those
 * printed below them. The lines are read here and not handed to curl, which not every machine that runs the tests has.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { startApi } from "../../test/support/api.ts";

interface Example {
  readonly command: string;
  readonly answer: string | undefined;
}

const text = await Bun.file(join(import.meta.dir, "../../../../docs/http-api.md")).text();
const EXAMPLES: readonly Example[] = [...text.matchAll(/```sh\n([^]*?)```\n(?:\n```json\n([^]*?)```)?/g)].map(
  ([, command = "", answer]) => ({ command: command.trim(), answer }),
);

const server = Bun.serve({ port: 0, hostname: "127.0.0.1", development: false, fetch: startApi().http });
afterAll(() => server.stop(true));

/** Words of a command line, as a shell cuts them. */
function wordsOf(command: string): string[] {
  const joined = command.replaceAll("\\\n", " ").replaceAll("$LONGWIRE_API_KEY", "key-of-all");
  return [...joined.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)].map(([word]) =>
    word.replaceAll(/'([^']*)'|"([^"]*)"/g, "$1$2"),
  );
}

/** What curl would send. */
function requestOf(command: string): Request {
  const headers = new Headers();
  const data: string[] = [];
  let method: string | undefined;
  let url = "";
  const [program, ...words] = wordsOf(command);
  expect(program).toBe("curl");
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (!word.startsWith("-")) url = word.replace("http://127.0.0.1:8080", server.url.origin);
    else if (word === "-X") method = words.shift();
    else if (word === "-d") data.push(words.shift() ?? "");
    else if (word === "-H") headers.append(...((words.shift() ?? "").split(": ", 2) as [string, string]));
    else if (word === "--data-urlencode")
      data.push((words.shift() ?? "").replace(/=.*/s, (value) => `=${encodeURIComponent(value.slice(1))}`));
    else throw new Error(`this test does not know curl's ${word}`);
  }
  if (data.length === 0) return new Request(url, { method: method ?? "GET", headers });
  if (!headers.has("content-type")) headers.set("content-type", "application/x-www-form-urlencoded");
  return new Request(url, { method: method ?? "POST", headers, body: data.join("&") });
}

describe("docs/http-api.md", () => {
  test("holds examples", () => {
    expect(EXAMPLES.length).toBeGreaterThan(15);
    expect(text.match(/^curl /gm)?.length).toBe(EXAMPLES.length);
  });

  test.each(EXAMPLES.map((example) => [example.command.split("\n")[0] ?? "", example] as const))(
    "%s",
    async (_, { command, answer }) => {
      const response = await fetch(requestOf(command));
      const body = await response.text();
      expect([body, response.status]).toEqual([body, answer === undefined ? 204 : 200]);
      if (answer !== undefined) expect(JSON.parse(body)).toEqual(JSON.parse(answer));
    },
  );
});
