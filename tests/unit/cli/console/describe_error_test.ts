import { createWarning, describeError } from "../../../../lib/cli/console/describe_error.ts";
import { escapeControls } from "../../../../lib/oci/escape_controls.ts";
import { cannot, CorruptError } from "../../../../lib/oci/error.ts";
import { readNamed } from "../../../../lib/cli/wiring/credentials.ts";
import { AuditLog } from "../../../../lib/files/audit_log.ts";
import { Htpasswd } from "../../../../lib/server/htpasswd.ts";
import { readTlsFiles } from "../../../../lib/server/tls_files.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";
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

const REFUSED: readonly (readonly [name: string, use: (folder: string) => Promise<unknown>, line: string])[] = [
  [
    "the audit log",
    (folder) => new AuditLog(folder).begin("1", { action: "import", by: {} }),
    "Cannot write DIR/audit.ndjson: is a directory; nothing was changed",
  ],
  [
    "a certificate",
    (folder) => readTlsFiles({ cert: `${folder}/audit.ndjson`, key: `${folder}/key.pem` }),
    "Cannot use --tls-cert DIR/audit.ndjson: is a directory",
  ],
  [
    "the logins",
    (folder) => Htpasswd.open({ path: `${folder}/audit.ndjson`, warn() {} }),
    "Cannot use the logins in DIR/audit.ndjson: is a directory",
  ],
  [
    "a file of the configuration",
    (folder) => readNamed(`${folder}/audit.ndjson`, "hosts.a.password-file"),
    "Cannot read DIR/audit.ndjson (hosts.a.password-file): is a directory",
  ],
  [
    "an error of crpe that quotes the system",
    () => Promise.reject(new CorruptError(cannot("use x", "Is a directory (os error 21): open '/y'", "remove it"))),
    "Cannot use x: Is a directory (os error 21): open '/y'; remove it",
  ],
];
for (const [name, use, line] of REFUSED) {
  Deno.test(`describeError() keeps the action and the advice where the system refuses ${name}`, async () => {
    await using folder = await TestFolder.create();
    await Deno.mkdir(`${folder.path}/audit.ndjson`);
    await folder.write("key.pem", "-----BEGIN PRIVATE KEY-----\n");
    const error = await assertRejects(() => use(folder.path), Error);
    assertEquals(describeError(error).replaceAll(folder.path, "DIR"), line);
  });
}
