/** Reads the list of files in ARCHITECTURE.md: a heading names a folder, a list item a file in it and what it is for. */

const HEADING = /^#+ (?:`(?<folder>packages\/[^`]*)`)?/;
const ITEM = /^- `(?<name>[^`/]+\.\w+)`(?<rest>.*)$/;

/** What is wrong with the list, given the files that are there. */
export function architectureFaults(page: string, files: readonly string[]): string[] {
  const faults: string[] = [];
  const named = new Set<string>();
  let folder: string | undefined;
  for (const line of page.split("\n")) {
    if (line.startsWith("#")) folder = HEADING.exec(line)?.groups?.["folder"];
    const item = ITEM.exec(line)?.groups;
    if (item === undefined || folder === undefined) continue;
    const file = `${folder}/${item["name"]}`;
    if (named.has(file)) faults.push(`${file} stands twice`);
    named.add(file);
    if (!files.includes(file)) faults.push(`there is no ${file}`);
    if (!/^: \S/.test(item["rest"] ?? "")) faults.push(`${file} has no line that says what it is for`);
  }
  for (const file of files) if (!named.has(file)) faults.push(`${file} is missing`);
  return faults;
}
