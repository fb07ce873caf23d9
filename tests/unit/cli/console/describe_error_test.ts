import { createWarning, describeError } from "../../../../lib/cli/console/describe_error.ts";
import { escapeControls } from "../../../../lib/oci/escape_controls.ts";
import { CorruptError } from "../../../../lib/oci/error.ts";
import { assertEquals } from "../../../support/assert.ts";
import { createTestIo } from "../../../support/test_io.ts";

const escaped: [string, string][] = [
  ["plain text, é, 日本, 🙂", "plain text, é, 日本, 🙂"],
  ["\u001b[2J", "\\u001b[2J"],
  ["\u009b31m\u007f\0", "\\u009b31m\\u007f\\u0000"],
  ["\u202egnp.tgz\u2066\u2028", "\\u202egnp.tgz\\u2066\\u2028"],
];
for (const [text, expected] of escaped) {
  Deno.test(`escapeControls() returns ${JSON.stringify(expected)}`, () => assertEquals(escapeControls(text), expected));
}

Deno.test("describeError() returns one line without control characters", () => {
  const error = new CorruptError('Cannot use "\u202egnp":\n  a name\u001b[31m');
  assertEquals(describeError(error), 'Cannot use "\\u202egnp": a name\\u001b[31m');
});

Deno.test("createWarning() colours a word that says the same without the colour", () => {
  for (
    const [isColored, text] of [[false, "crpe: warning: x\n"], [true, "crpe: \x1b[33mwarning:\x1b[0m x\n"]] as const
  ) {
    const io = createTestIo({ isColored });
    createWarning(io)("x");
    assertEquals(io.errText, text);
  }
});
