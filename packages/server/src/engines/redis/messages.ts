/**
 * What is said on the pub/sub channel of a channel, and kept in its list. The first letter of a message is its kind; kinds that are not known here
 * are those of newer versions, and passed over.
 *
 *     p<epoch> <offset> <body>      a publication; `<body>` is also what is kept
 *     j<member as JSON>             a person has come
 *     l<member as JSON>             a person has left
 *
 *     body:  <time> <tail>                          the time is Redis's, in Unix milliseconds
 *     tail:  <id> <header>\n<data>                  what the publisher makes; the id finds its entry again when the answer was lost
 *     header: nothing, or a JSON array: [bytes?, name, user, session, exclude], null for what is not there
 *
 * Scripts put them together, and never take them apart.
 */
import type { Member } from "@longwire/protocol";
import type { Draft, Publication } from "../../ports/broker.ts";

export type Message =
  | { readonly kind: "publication"; readonly epoch: string; readonly id: string; readonly publication: Publication }
  | { readonly kind: "join" | "leave"; readonly member: Member };

type Header = [
  isBytes: 0 | 1,
  name: string | null,
  user: string | null,
  session: string | null,
  exclude: string | null,
];

const NOTHING: Header = [0, null, null, null, null];

export const EVENT_LETTERS = { join: "j", leave: "l" } as const;

/** `id` has no white space. */
export function tailOf(draft: Draft, id: string): string {
  const { data, encoding, name, user, session, exclude } = draft;
  const isPlain = (name ?? user ?? session ?? exclude) === undefined && encoding === undefined;
  const header: Header = [encoding === undefined ? 0 : 1, name ?? null, user ?? null, session ?? null, exclude ?? null];
  return `${id} ${isPlain ? "" : JSON.stringify(header)}\n${data}`;
}

export function eventMessage(type: "join" | "leave", member: Member): string {
  return `${EVENT_LETTERS[type]}${JSON.stringify(member)}`;
}

/** undefined: of a kind that is not known here. */
export function readMessage(message: Buffer): Message | undefined {
  const text = message.toString();
  switch (text.charAt(0)) {
    case "p":
      return readPublication(text);
    case EVENT_LETTERS.join:
      return { kind: "join", member: JSON.parse(text.slice(1)) as Member };
    case EVENT_LETTERS.leave:
      return { kind: "leave", member: JSON.parse(text.slice(1)) as Member };
    default:
      return undefined;
  }
}

function readPublication(text: string): Message {
  const first = text.indexOf(" ");
  const second = text.indexOf(" ", first + 1);
  const offset = Number(text.slice(first + 1, second));
  const { id, publication } = readBody(offset, text, second + 1);
  return { kind: "publication", epoch: text.slice(1, first), id, publication };
}

/** `from`: where the body begins. */
export function readBody(offset: number, text: string, from = 0): { id: string; publication: Publication } {
  const afterTime = text.indexOf(" ", from);
  const afterId = text.indexOf(" ", afterTime + 1);
  const afterHeader = text.indexOf("\n", afterId);
  const header = text.slice(afterId + 1, afterHeader);
  const [isBytes, name, user, session, exclude] = header === "" ? NOTHING : (JSON.parse(header) as Header);
  return {
    id: text.slice(afterTime + 1, afterId),
    publication: {
      offset,
      time: Number(text.slice(from, afterTime)),
      data: text.slice(afterHeader + 1),
      encoding: isBytes === 1 ? "base64" : undefined,
      name: name ?? undefined,
      user: user ?? undefined,
      session: session ?? undefined,
      exclude: exclude ?? undefined,
    },
  };
}
