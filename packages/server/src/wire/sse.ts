/** Event streams (WHATWG HTML, section 9.2): lines of `field: value`, a blank line ends an event. Pure text. */

const LINE_BREAK = /\r\n|\r|\n/;

export interface EventFields {
  /** Without a line break, or it is left out: it could be read as another field. */
  readonly event?: string | undefined;
  /** Goes with the event: whoever has seen the event comes back with it. */
  readonly id?: string | undefined;
}

/** One event. Line breaks in `data` arrive as `\n`. */
export function eventText(data: string, { event, id }: EventFields = {}): string {
  let text = id === undefined ? "" : `id: ${id}\n`;
  if (event !== undefined && !LINE_BREAK.test(event)) text += `event: ${event}\n`;
  if (!LINE_BREAK.test(data)) return `${text}data: ${data}\n\n`;
  for (const line of data.split(LINE_BREAK)) text += `data: ${line}\n`;
  return `${text}\n`;
}

/** Moves the client's last event id without an event. */
export function idText(id: string): string {
  return `id: ${id}\n\n`;
}

/** How long the client waits before it connects again. */
export function retryText(ms: number): string {
  return `retry: ${Math.round(ms)}\n\n`;
}

/** A sign of life that no client sees. */
export const COMMENT = ":\n\n";
