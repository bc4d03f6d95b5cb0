/** Fenced code blocks of a Markdown page, in order. */
import { join } from "node:path";

export const ROOT = join(import.meta.dir, "../..");

export interface CodeBlock {
  readonly language: string;
  readonly code: string;
  readonly line: number;
}

export async function readCodeBlocks(path: string): Promise<CodeBlock[]> {
  const text = await Bun.file(join(ROOT, path)).text();
  return [...text.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].map((match) => ({
    language: match[1] ?? "",
    code: match[2] ?? "",
    line: text.slice(0, match.index).split("\n").length,
  }));
}

/** A block without its comments, which are translated, and whatever the formatter makes of its spaces. */
export function bareCode({ language, code }: CodeBlock): string {
  return `${language}\n${code.replaceAll(/\/\*\*.*?\*\/|(^|\s)(#|\/\/) .*$/gm, "").replaceAll(/\s+/g, " ")}`;
}
