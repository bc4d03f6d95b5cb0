/** Why a port cannot be had, in words that say what to do. */
import { StartupError } from "../base/failures.ts";
import { type Config, environmentName, flagName } from "../config/schema.ts";

export interface WantedPort {
  readonly host: string;
  readonly port: number;
  /** Key path of the option that names the port. */
  readonly option: string;
  /** How to name another one, after "take another port". */
  readonly elsewhere: string;
}

/** A port for HTTP and WebSockets. */
export function wantedWebPort(config: Config, host: string, option: "port" | "swoolePort"): WantedPort {
  const port = config[option];
  return { host, port, option, elsewhere: `${flagName([option])} ${port + 1} or ${environmentName([option])}` };
}

/** What is thrown in place of `error`; `error` itself where it is about something else. */
export function portErrorOf(error: unknown, { host, port, option, elsewhere }: WantedPort): unknown {
  const { code, message } = error as { code?: string; message?: string };
  const where = `${host}:${port}`;
  if (code === "EADDRINUSE") {
    return new StartupError(
      `${option}: ${where} is in use by another program`,
      `stop that program, or take another port: ${elsewhere}`,
    );
  }
  if (code === "EACCES") {
    return new StartupError(
      `${option}: this user may not listen on ${where}`,
      "take a port from 1024 up, or grant CAP_NET_BIND_SERVICE",
    );
  }
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || /listen/i.test(message ?? "")) {
    return new StartupError(
      `host: cannot listen on ${where}: ${message ?? code ?? ""}`,
      "take an address of this machine, or leave `host` out",
    );
  }
  return error;
}
