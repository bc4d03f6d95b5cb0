/**
 * The processes of a bench run. Whatever way the run ends, none of them outlives it: `stopAll` ends those that are left,
 * and the bench's own helpers also end when their standard input does.
 */
import { processTree } from "./usage.ts";

const STOP_TIMEOUT_MS = 3000;
const STDERR_KEPT_CHARACTERS = 4000;

interface Waiter {
  readonly prefix: string;
  readonly resolve: (line: string) => void;
  readonly reject: (error: Error) => void;
}

export class Child {
  readonly name: string;
  readonly #process: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #waiters = new Set<Waiter>();
  readonly #lines: string[] = [];
  readonly #finished: Promise<void>;
  #errors = "";

  constructor(name: string, command: readonly string[]) {
    this.name = name;
    this.#process = Bun.spawn({ cmd: [...command], env: environment(), stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    this.#finished = this.#read();
  }

  get pid(): number {
    return this.#process.pid;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** What it complained about last. */
  get errors(): string {
    return this.#errors.trim();
  }

  async send(line: string): Promise<void> {
    await this.#process.stdin.write(`${line}\n`);
    await this.#process.stdin.flush();
  }

  /** The rest of the next line that starts with the prefix. Lines in between are skipped. */
  async line(prefix: string, timeoutMs: number): Promise<string> {
    const ready = this.#take(prefix);
    if (ready !== undefined) return ready;
    let timer: Timer | undefined;
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const waiter = { prefix, resolve, reject };
    this.#waiters.add(waiter);
    timer = setTimeout(() => reject(new Error(`${this.name} said no ${prefix} in ${timeoutMs} ms`)), timeoutMs);
    if (!this.running) void this.#finished.then(() => this.#abandon());
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(waiter);
    }
  }

  /** Asks it to end, then insists. */
  async stop(): Promise<void> {
    if (!this.running) return;
    const tree = processTree(this.pid);
    await this.#process.stdin.end();
    this.#process.kill("SIGTERM");
    await Promise.race([this.#process.exited, Bun.sleep(STOP_TIMEOUT_MS)]);
    for (const pid of tree) kill(pid);
    await this.#process.exited;
  }

  killNow(): void {
    if (!this.running) return;
    for (const pid of processTree(this.pid)) kill(pid);
  }

  async #read(): Promise<void> {
    const errors = this.#readErrors();
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.#process.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#hand(line);
    }
    await errors;
    await this.#process.exited;
    this.#abandon();
  }

  async #readErrors(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#process.stderr) {
      this.#errors = (this.#errors + decoder.decode(chunk, { stream: true })).slice(-STDERR_KEPT_CHARACTERS);
    }
  }

  #hand(line: string): void {
    for (const waiter of this.#waiters) {
      if (!line.startsWith(waiter.prefix)) continue;
      waiter.resolve(line.slice(waiter.prefix.length).trim());
      return;
    }
    this.#lines.push(line);
    // A server's log is not for us to keep.
    if (this.#lines.length > 100) this.#lines.shift();
  }

  #take(prefix: string): string | undefined {
    const index = this.#lines.findIndex((line) => line.startsWith(prefix));
    if (index < 0) return undefined;
    const line = this.#lines[index] ?? "";
    this.#lines.splice(0, index + 1);
    return line.slice(prefix.length).trim();
  }

  #abandon(): void {
    const status = this.#process.signalCode ?? this.#process.exitCode;
    const said = `${this.errors}\n${this.#lines.slice(-5).join("\n")}`.trim();
    for (const waiter of this.#waiters) waiter.reject(new Error(`${this.name} ended (${status}): ${said}`));
  }
}

/** A configuration in the caller's environment would be measured in place of the defaults. */
function environment(): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("LONGWIRE_")));
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

export class Children {
  readonly #children = new Set<Child>();

  start(name: string, command: readonly string[]): Child {
    const child = new Child(name, command);
    this.#children.add(child);
    return child;
  }

  async stop(child: Child): Promise<void> {
    await child.stop();
    this.#children.delete(child);
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#children].map((child) => this.stop(child)));
  }

  killAllNow(): void {
    for (const child of this.#children) child.killNow();
  }
}
