export interface Counts {
  readonly passed: number;
  readonly failed: number;
}
export interface TestRun {
  readonly name: string;
  readonly files: readonly string[];
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
}
export declare function countsOf(output: string): Counts;
export declare function runTests(bun: string, run: TestRun): Promise<Counts>;
export declare function finish(counts: readonly Counts[]): void;
