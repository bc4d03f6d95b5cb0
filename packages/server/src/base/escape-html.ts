/** Escaping for pages that put text into their HTML: what PHP's `htmlspecialchars` makes of it with ENT_QUOTES and UTF-8. */

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#039;",
};

function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

/**
 * Escapes the string values of JSON text. Keys and everything else stay as they stand, to the letter: parsed and written
 * again, large numbers would become others.
 */
export function escapeHtmlInJson(json: string): string {
  // A quotation mark in a string, and a character that is written as its number, come with a backslash.
  if (!/[&<>'\\]/.test(json)) return json;
  return json.replace(/"(?:[^"\\]|\\.)*"(\s*:)?/g, (token: string, colon: string | undefined) =>
    colon !== undefined ? token : JSON.stringify(escapeText(JSON.parse(token) as string)),
  );
}
