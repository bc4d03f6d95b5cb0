/** The command line of `npm run bench`. */
import { parseArgs } from "node:util";

import { type BenchOptions, PEER_NAMES, type PeerName } from "./bench.ts";

export const SECTION_NAMES = [
  "start",
  "publish",
  "fanout",
  "streams",
  "transports",
  "compression",
  "poll",
  "memory",
  "growth",
  "upkeep",
  "storm",
  "workers",
  "redis",
] as const;
export type SectionName = (typeof SECTION_NAMES)[number];

export interface CommandLine extends BenchOptions {
  readonly sections: readonly SectionName[];
  readonly jsonFile?: string;
}

export const HELP = `Usage: npm run bench -- [section…] [options]

Sections (all of them unless named):
  start        start to ready, idle memory
  publish      the publish API, against a bare Bun handler
  fanout       CPU per delivery, latency and memory, beside a bare C write loop, ws and Socket.IO
  streams      the same for SSE, HTTP streams and TCP, beside the write loop and nginx with nchan
  transports   what a connection and a delivery cost on each transport
  compression  bytes on the wire and CPU per delivery with and without
  poll         10,000 waiting long polls, all answered by one publication
  memory       memory per idle connection of each transport at 15,000 connections
  growth       cost per delivery with more subscribers and more channels
  upkeep       what clients cost to come, to be there and to leave, with and without presence
  storm        15,000 clients connect; come back to a server that was killed, and get what they missed; one process and two workers
  workers      two workers against one, and what the way through their supervisor costs
  redis        the engine redis: publishes per second, from node to node, what Redis has to do

Options:
  --seconds N    length of one measurement (4)
  --rounds N     repetitions; the median counts (3)
  --peers LIST   of ${PEER_NAMES.join(", ")}; or none (all)
  --json FILE    write the figures there as well
`;

/** Throws an error with a sentence for the user. `undefined` asks for the help text. */
export function parseCommandLine(args: readonly string[]): CommandLine | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      seconds: { type: "string", default: "4" },
      rounds: { type: "string", default: "3" },
      peers: { type: "string", default: PEER_NAMES.join(",") },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  return {
    sections: positionals.length === 0 ? SECTION_NAMES : positionals.map((name) => oneOf(SECTION_NAMES, name)),
    seconds: positive("--seconds", values.seconds),
    rounds: Math.ceil(positive("--rounds", values.rounds)),
    peers: peerNames(values.peers),
    ...(values.json === undefined ? {} : { jsonFile: values.json }),
  };
}

function peerNames(list: string): PeerName[] {
  return list === "none" ? [] : list.split(",").map((name) => oneOf(PEER_NAMES, name));
}

function oneOf<Name extends string>(names: readonly Name[], text: string): Name {
  const name = names.find((candidate) => candidate === text);
  if (name === undefined) throw new Error(`"${text}" is none of ${names.join(", ")}`);
  return name;
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`${option} takes a number above 0, not "${text}"`);
  return value;
}
