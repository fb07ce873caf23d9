/** The part of `@std/cli/parse-args` that crpe uses. */
export interface ParseOptions {
  boolean?: string[];
  string?: string[];
  collect?: string[];
  negatable?: string[];
  alias?: Record<string, string | string[]>;
  default?: Record<string, unknown>;
  stopEarly?: boolean;
  "--"?: boolean;
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}
export function parseArgs(args: string[], options?: ParseOptions): { _: (string | number)[]; [flag: string]: unknown };
