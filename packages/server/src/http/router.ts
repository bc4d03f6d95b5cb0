/** Paths to what answers there: a tree of segments, with a map in front for paths without parameters. */
import { ReplyError } from "../base/failures.ts";

/** Whatever answers at a path, by method. */
export type Methods<Entry> = ReadonlyMap<string, Entry>;

export interface Match<Entry> {
  readonly methods: Methods<Entry>;
  /** Decoded path parameters. */
  readonly parameters: Readonly<Record<string, string>>;
}

interface Node<Entry> {
  readonly children: Map<string, Node<Entry>>;
  parameter: { readonly name: string; readonly node: Node<Entry> } | undefined;
  readonly methods: Map<string, Entry>;
}

const NO_PARAMETERS: Readonly<Record<string, string>> = {};

export class Router<Entry> {
  private readonly plain = new Map<string, Match<Entry>>();
  private readonly root: Node<Entry> = emptyNode();

  /** `path` as OpenAPI writes it: `/api/channels/{channel}/history`. */
  add(method: string, path: string, entry: Entry): void {
    let node = this.root;
    for (const segment of path.slice(1).split("/")) node = step(node, segment);
    node.methods.set(method, entry);
    if (!path.includes("{")) this.plain.set(path, { methods: node.methods, parameters: NO_PARAMETERS });
  }

  /** Rejects a parameter that is not percent-encoded UTF-8. */
  match(path: string): Match<Entry> | undefined {
    const plain = this.plain.get(path);
    if (plain !== undefined) return plain;
    const parameters: Record<string, string> = {};
    let node: Node<Entry> | undefined = this.root;
    for (const segment of path.slice(1).split("/")) {
      const child: Node<Entry> | undefined = node.children.get(segment);
      if (child !== undefined) {
        node = child;
        continue;
      }
      if (node.parameter === undefined || segment === "") return undefined;
      parameters[node.parameter.name] = decodeSegment(segment, node.parameter.name);
      node = node.parameter.node;
    }
    return node.methods.size === 0 ? undefined : { methods: node.methods, parameters };
  }
}

/** Path and query of `Request.url`; `new URL` would cost 25 times as much. */
export function splitUrl(url: string): { readonly path: string; readonly query: string } {
  // Bun leaves the origin out where there is no usable Host header (HTTP/1.0).
  const start = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("://") + 3);
  const mark = url.indexOf("?", start);
  return mark < 0
    ? { path: url.slice(start), query: "" }
    : { path: url.slice(start, mark), query: url.slice(mark + 1) };
}

/** The `Allow` header of a path. */
export function allowOf(methods: Methods<unknown>): string {
  const names = [...methods.keys()];
  if (methods.has("GET")) names.push("HEAD");
  return names.toSorted().join(", ");
}

function step<Entry>(node: Node<Entry>, segment: string): Node<Entry> {
  if (segment.startsWith("{")) {
    const name = segment.slice(1, -1);
    node.parameter ??= { name, node: emptyNode() };
    if (node.parameter.name !== name) throw new Error(`two names for one path parameter: ${name}`);
    return node.parameter.node;
  }
  let child = node.children.get(segment);
  if (child === undefined) {
    child = emptyNode();
    node.children.set(segment, child);
  }
  return child;
}

function emptyNode<Entry>(): Node<Entry> {
  return { children: new Map(), parameter: undefined, methods: new Map() };
}

function decodeSegment(segment: string, name: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new ReplyError("badField", `the ${name} in the path is not percent-encoded UTF-8`, undefined, name);
  }
}
