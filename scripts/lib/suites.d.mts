import type { TestRun } from "./run-tests.mjs";

export declare const SUITES: readonly string[];
export declare function furtherRuns(
  chosen: (file: string) => boolean,
  environment?: Readonly<Record<string, string | undefined>>,
): readonly TestRun[];
