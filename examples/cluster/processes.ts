/** The programs of the example: started, waited for, killed, and ended together. */

const READY_MS = 20_000;
const STOP_MS = 8000;

export class Program {
  #child: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #output = "";

  constructor(
    readonly name: string,
    private readonly command: readonly string[],
    private readonly folder: string,
    private readonly environment: Readonly<Record<string, string>> = {},
  ) {}

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts it (again); resolves when `isReady` says so. */
  async start(isReady: () => Promise<boolean>): Promise<void> {
    this.#output = "";
    const child = Bun.spawn(boundToUs(this.command), {
      cwd: this.folder,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { PATH: `${process.env["PATH"]}:/usr/sbin`, HOME: this.folder, ...this.environment },
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) void this.#keep(stream);
    const deadline = Date.now() + READY_MS;
    while (!(await isReady().catch(() => false))) {
      if (!this.isRunning) throw new Error(`${this.name} ended: ${this.#output.trim()}`);
      if (Date.now() > deadline) throw new Error(`${this.name} did not become ready: ${this.#output.trim()}`);
      await Bun.sleep(50);
    }
  }

  async kill(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    child.kill(signal);
    await Promise.race([child.exited, Bun.sleep(STOP_MS)]);
    child.kill("SIGKILL");
    await child.exited;
  }

  async #keep(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream)
      this.#output = (this.#output + decoder.decode(chunk, { stream: true })).slice(-4000);
  }
}

/** On Linux it ends with this program, however that ends. */
function boundToUs(command: readonly string[]): string[] {
  const setpriv = Bun.which("setpriv");
  return setpriv === null ? [...command] : [setpriv, "--pdeathsig", "TERM", ...command];
}

export async function isListening(port: number): Promise<boolean> {
  const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
  socket.end();
  return true;
}

/** What a program prints. */
export async function printed(command: readonly string[]): Promise<string> {
  const run = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, errors, status] = await Promise.all([
    new Response(run.stdout).text(),
    new Response(run.stderr).text(),
    run.exited,
  ]);
  if (status !== 0) throw new Error(`${command.join(" ")}: ${errors.trim()}${output.trim()}`);
  return output;
}
