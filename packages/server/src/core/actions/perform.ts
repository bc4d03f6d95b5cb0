/** perform: which action carries out a command. */
import { ReplyError } from "../../base/failures.ts";
import type { Input } from "../../ports/protocol.ts";
import type { Core } from "../deps.ts";
import type { Session } from "../model.ts";
import { publishBare } from "./bare.ts";
import { connect } from "./connect.ts";
import { publishFromClient } from "./publish.ts";
import { history, presence } from "./read.ts";
import { ack, refresh } from "./session.ts";
import { subscribe, unsubscribe } from "./subscribe.ts";

/** Done when it returns, or when the promise resolves. Throws or rejects with what is to be answered. */
export function perform(core: Core, session: Session, command: Input): Promise<void> | undefined {
  switch (command.type) {
    case "publish":
      return publishFromClient(core, session, command);
    case "bare":
      return publishBare(core, session, command);
    case "ack":
      return ack(core, session, command);
    case "connect":
      return connect(core, session, command);
    case "subscribe":
      return subscribe(core, session, command);
    case "unsubscribe":
      unsubscribe(core, session, command);
      return undefined;
    case "presence":
      return presence(core, session, command);
    case "history":
      return history(core, session, command);
    case "refresh":
      return refresh(core, session, command);
    case "call":
      throw new ReplyError("noApplication");
    case "ping":
      core.outbox.push(session, { type: "pong", ...(command.id !== undefined && { id: command.id }) });
      return undefined;
    case "pong":
      return undefined;
  }
}

/** Whether what follows need not wait until the command is done: it takes its place in the call itself. */
export function runsBeside({ type }: Input): boolean {
  return type === "publish" || type === "bare" || type === "ack";
}
