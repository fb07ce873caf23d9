import type { Io } from "../../lib/cli/console/io.ts";

/** An `Io` that keeps its output. */
export interface TestIo extends Io {
  /** Whether the command has given up the right to start programs. */
  deniesPrograms: boolean;
  outText: string;
  errText: string;
}

/** Creates the `Io` of a command in a test: an environment, a standard input, a terminal's width. */
export function createTestIo(
  { env = {}, stdin = new Uint8Array(), columns, isColored = false, isTerminal = columns !== undefined }: {
    env?: Record<string, string>;
    stdin?: Uint8Array<ArrayBuffer>;
    columns?: number | undefined;
    isColored?: boolean;
    isTerminal?: boolean;
  } = {},
): TestIo {
  return {
    deniesPrograms: false,
    outText: "",
    errText: "",
    env: (name) => env[name] || undefined,
    out(text) {
      this.outText += text;
    },
    err(text) {
      this.errText += text;
    },
    denyPrograms() {
      this.deniesPrograms = true;
      return Promise.resolve();
    },
    stdin: new Blob([stdin]).stream(),
    columns,
    isTerminal,
    isInputTerminal: isTerminal,
    isOutputTerminal: isTerminal,
    isColored,
    isOutputColored: isColored,
  };
}
