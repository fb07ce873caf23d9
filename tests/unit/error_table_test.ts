import { outcomeOf, RequestCutError, toApiError } from "../../lib/agent/answer.ts";
import { AgentError, errorOfAnswer } from "../../lib/agent/client/agent_error.ts";
import { OtherArchiveError } from "../../lib/bundle/other_archive.ts";
import { WrongContentError } from "../../lib/bundle/prepare_pack.ts";
import { exitStatusOf } from "../../lib/cli/console/describe_error.ts";
import { UsageError } from "../../lib/cli/console/usage_error.ts";
import { DigestMismatchError } from "../../lib/content/verifier.ts";
import { BaseError } from "../../lib/delta/inflate_layers.ts";
import { RecordError } from "../../lib/install/records/record_file.ts";
import { StalePartialError } from "../../lib/install/write_bundle_blob.ts";
import { FieldError } from "../../lib/kubepkg/field_path.ts";
import { S3Error } from "../../lib/object_store/s3_error.ts";
import {
  byForce,
  CorruptError,
  IncompleteError,
  NoSpaceError,
  reasonOf,
  RefusedError,
  RegistryError,
  TooLargeError,
  TruncatedError,
  UntrustedError,
} from "../../lib/oci/error.ts";
import { assertEquals } from "../support/assert.ts";

const DIGEST = `sha256:${"a".repeat(64)}` as const;
const MESSAGE = "Cannot do it: a reason";

type ErrorClass = abstract new (...args: never[]) => Error;

/** What a user of the command line, a client of the API, the log, and the user of crpe push see of each error. */
const TABLE: readonly (readonly [
  error: Error,
  exit: number,
  answer: `${number} ${string}`,
  outcome: string,
  pushed: ErrorClass,
])[] = [
  [new CorruptError(MESSAGE), 4, "422 CORRUPT", "corrupt", CorruptError],
  [new TruncatedError(MESSAGE), 4, "422 CORRUPT", "corrupt", CorruptError],
  [new FieldError(MESSAGE, { path: [], reason: "" }), 4, "422 CORRUPT", "corrupt", CorruptError],
  [new DigestMismatchError(MESSAGE), 4, "422 CORRUPT", "corrupt", CorruptError],
  [new WrongContentError(MESSAGE, DIGEST), 4, "422 CORRUPT", "corrupt", CorruptError],
  [new TooLargeError(MESSAGE), 4, "413 TOO_LARGE", "too-large", RefusedError],
  [new OtherArchiveError(MESSAGE), 1, "422 CORRUPT", "corrupt", CorruptError],
  [new RecordError("/x", new Error("bad")), 4, "422 CORRUPT", "corrupt", CorruptError],
  [new RecordError("/x", new Deno.errors.PermissionDenied("no")), 1, "422 CORRUPT", "corrupt", CorruptError],
  [new RefusedError(MESSAGE, byForce("--force allows it")), 3, "409 CONFLICT", "refused", RefusedError],
  [new UntrustedError(MESSAGE), 3, "403 UNTRUSTED", "refused", UntrustedError],
  [new IncompleteError(MESSAGE, [DIGEST]), 1, "422 INCOMPLETE", "incomplete", IncompleteError],
  [new BaseError(DIGEST, "is missing"), 1, "422 INCOMPLETE", "incomplete", IncompleteError],
  [new NoSpaceError(MESSAGE), 1, "507 NO_SPACE", "no-space", NoSpaceError],
  [new StalePartialError(MESSAGE), 1, "503 UNAVAILABLE", "failed", AgentError],
  [new RequestCutError(MESSAGE), 1, "400 INVALID", "cut", AgentError],
  [new RegistryError("LOCKED", MESSAGE), 1, "423 LOCKED", "failed", AgentError],
  [new RegistryError("BLOB_UNKNOWN", MESSAGE), 1, "404 BLOB_UNKNOWN", "failed", AgentError],
  [new S3Error(MESSAGE), 1, "503 UNAVAILABLE", "failed", AgentError],
  [new UsageError(MESSAGE), 2, "500 INTERNAL", "failed", AgentError],
  [new Error(MESSAGE), 1, "500 INTERNAL", "failed", AgentError],
];

for (const [error, exit, answer, outcome, pushed] of TABLE) {
  Deno.test(`${error.constructor.name} of ${JSON.stringify(error.message)}: exit status ${exit}, ${answer}`, () => {
    const sent = toApiError(error, (it) => (it as Error).message);
    assertEquals([exitStatusOf(error), `${sent.status} ${sent.code}`, outcomeOf(error)], [exit, answer, outcome]);
    const received = errorOfAnswer(sent.status, new TextEncoder().encode(JSON.stringify(sent)));
    assertEquals(received.constructor, pushed);
    // An import from far has the exit status of one on this machine, except where only the agent can do something.
    if (pushed !== AgentError && !(error instanceof TooLargeError) && exit !== 1) {
      assertEquals(exitStatusOf(received), exit);
    }
  });
}

Deno.test("every exported class of errors that extends another one is in the table", async () => {
  const known = new Set(TABLE.map(([{ constructor }]) => constructor.name));
  const classes = new Map<string, string>();
  for await (const path of listSources(new URL("../../lib/", import.meta.url))) {
    for (
      const [, name, parent] of (await Deno.readTextFile(path)).matchAll(/\bexport class (\w+) extends (\w*Error)\b/g)
    ) {
      classes.set(name!, parent!);
    }
  }
  const isPlain = (parent: string): boolean => parent === "Error" || parent === "TransportError";
  const own = [...classes].filter(([name, parent]) =>
    !isPlain(parent) && !known.has(name) && name !== "OverruledError"
  );
  assertEquals(own, []);
});

Deno.test("reasonOf() is what follows the action in a message", () => {
  const rows = [
    ["Cannot read blob sha256:aa of a/b from host:5000: it was cut: at 5", "it was cut: at 5"],
    ["a reason alone: it is cut", "a reason alone: it is cut"],
    ["Cannot find it", "Cannot find it"],
  ] as const;
  assertEquals(rows.map(([message]) => reasonOf(new Error(message))), rows.map(([, reason]) => reason));
});

async function* listSources(folder: URL): AsyncGenerator<URL> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* listSources(new URL(`${name}/`, folder));
    else if (name.endsWith(".ts")) yield new URL(name, folder);
  }
}
