/** Rules across options: each value is good by itself, together they are not. */
import type { Config } from "./schema.ts";
import type { Fault } from "./setting.ts";

export function crossFaults(config: Config, sourceOf: (path: string) => string): Fault[] {
  const faults: Fault[] = [];
  const fault = (path: string, message: string) => void faults.push({ path, source: sourceOf(path), message });
  const atMost = (
    small: "queueBytesMax" | "publicationBytesMax" | "messageBytesMax",
    large: "queueBytesTotalMax" | "bodyBytesMax" | "queueBytesMax",
    why: string,
  ) => {
    if (config[small] > config[large]) {
      fault(small, `is ${config[small]}, more than ${large} (${config[large]}, ${sourceOf(large)}): ${why}`);
    }
  };
  atMost("queueBytesMax", "queueBytesTotalMax", "one client's queue would not fit into the budget of all");
  atMost("publicationBytesMax", "bodyBytesMax", "a request that carries such a publication would be refused");
  for (const size of ["messageBytesMax", "publicationBytesMax"] as const) {
    atMost(size, "queueBytesMax", "such a message would disconnect whoever gets it");
  }
  const names = new Set<string>();
  const keys = new Set(config.apiKey === undefined ? [] : [config.apiKey]);
  for (const [index, { name, key }] of config.apiKeys.entries()) {
    if (names.has(name)) fault(`apiKeys[${index}].name`, `${JSON.stringify(name)} names another key too`);
    if (keys.has(key)) fault(`apiKeys[${index}].key`, "is another key's value too; its rights would be unclear");
    names.add(name);
    keys.add(key);
  }
  return faults;
}
