/** Elements, made from text only: what strangers write never becomes markup. */

export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className: string,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

/** A coloured disc with the first letter of a name; the colour is the name's. */
export function makeDisc(name: string): HTMLElement {
  const disc = make("span", "disc", Array.from(name.trim())[0]?.toUpperCase() ?? "?");
  disc.ariaHidden = "true";
  paint(disc, name);
  return disc;
}

export function paint(element: HTMLElement, name: string): void {
  let hash = 7;
  for (const char of name) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 65_521;
  // Steps of the golden angle: neighbouring sums get distant colours.
  element.style.setProperty("--hue", String(Math.round((hash * 137.508) % 360)));
}

/** What this browser, or this tab, keeps for the page. Where the user forbids that, the page works all the same and forgets. */
export type Keeper = "localStorage" | "sessionStorage";

export function recall(key: string, keeper: Keeper = "localStorage"): string | null {
  try {
    return globalThis[keeper].getItem(key);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string, keeper: Keeper = "localStorage"): void {
  try {
    globalThis[keeper].setItem(key, value);
  } catch {
    // Full or forbidden: the next visit begins anew.
  }
}
