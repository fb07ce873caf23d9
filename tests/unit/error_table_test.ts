import { outcomeOf, RequestCutError, toApiError } from "../../lib/agent/answer.ts";
import { AgentError, errorOfAnswer } from "../../lib/agent/client/agent_error.ts";
import { ImageNotFoundError } from "../../lib/bundle/resolve_image.ts";
import { otherArchive } from "../../lib/bundle/other_archive.ts";
import { WrongContentError } from "../../lib/bundle/prepare_pack.ts";
import { exitStatusOf } from "../../lib/cli/console/describe_error.ts";
import { DigestMismatchError } from "../../lib/content/verifier.ts";
import { BaseError } from "../../lib/delta/inflate_layers.ts";
import { RecordError } from "../../lib/install/records/record_file.ts";
import { DeflateError } from "../../lib/delta/bit_input.ts";
import { KubectlError } from "../../lib/install/handover/kubectl_error.ts";
import { DocumentError } from "../../lib/oci/json.ts";
import { TransportError } from "../../lib/upstream/transport/transport_error.ts";
import { StalePartialError } from "../../lib/install/write_bundle_blob.ts";
import { FieldError } from "../../lib/kubepkg/field_path.ts";
import { S3Error } from "../../lib/object_store/s3_error.ts";
import {
  byForce,
  cannot,
  CorruptError,
  CrpeError,
  IncompleteError,
  NoSpaceError,
  RefusedError,
  RegistryError,
  TooLargeError,
  TruncatedError,
  UntrustedError,
  UsageError,
} from "../../lib/oci/error.ts";
import { assert, assertEquals } from "../support/assert.ts";

const DIGEST = `sha256:${"a".repeat(64)}` as const;
const MESSAGE = cannot("do it", "a reason");
const FULL = "No space left on device (os error 28): write";

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
  [new FieldError(MESSAGE, { path: [], problem: "" }), 4, "422 CORRUPT", "corrupt", CorruptError],
  [new DigestMismatchError(MESSAGE), 4, "422 CORRUPT", "corrupt", CorruptError],
  [new WrongContentError(MESSAGE, DIGEST), 4, "422 CORRUPT", "corrupt", CorruptError],
  [new TooLargeError(MESSAGE), 4, "413 TOO_LARGE", "too-large", RefusedError],
  [otherArchive(MESSAGE), 1, "422 CORRUPT", "corrupt", CorruptError],
  [new RecordError("/x", new Error("bad")), 4, "422 CORRUPT", "corrupt", CorruptError],
  [new RecordError("/x", new Deno.errors.PermissionDenied("no")), 1, "422 CORRUPT", "corrupt", CorruptError],
  [new RefusedError(MESSAGE, byForce("--force allows it")), 3, "409 CONFLICT", "refused", RefusedError],
  [new UntrustedError(MESSAGE), 3, "403 UNTRUSTED", "refused", UntrustedError],
  [new IncompleteError(MESSAGE, [DIGEST]), 1, "422 INCOMPLETE", "incomplete", IncompleteError],
  [new BaseError(DIGEST, "is missing"), 1, "422 INCOMPLETE", "incomplete", IncompleteError],
  [new NoSpaceError(MESSAGE), 1, "507 NO_SPACE", "no-space", NoSpaceError],
  [new StalePartialError(MESSAGE), 1, "503 UNAVAILABLE", "failed", AgentError],
  [new RequestCutError(MESSAGE), 2, "400 INVALID", "cut", AgentError],
  [new RegistryError("LOCKED", MESSAGE), 1, "423 LOCKED", "failed", AgentError],
  [new RegistryError("BLOB_UNKNOWN", MESSAGE), 1, "404 BLOB_UNKNOWN", "failed", AgentError],
  [new S3Error(MESSAGE), 1, "503 UNAVAILABLE", "failed", AgentError],
  [new UsageError(MESSAGE), 2, "500 INTERNAL", "failed", AgentError],
  [new RegistryError("INVALID", MESSAGE), 2, "400 INVALID", "failed", AgentError],
  [new DocumentError(MESSAGE, { line: 1, cause: undefined }), 4, "422 CORRUPT", "corrupt", CorruptError],
  [new DeflateError(MESSAGE), 4, "422 CORRUPT", "corrupt", CorruptError],
  [new ImageNotFoundError(MESSAGE), 1, "500 INTERNAL", "failed", AgentError],
  [new KubectlError("do it", undefined), 1, "500 INTERNAL", "failed", AgentError],
  [new TransportError("dns", "a reason"), 1, "500 INTERNAL", "failed", AgentError],
  [new CrpeError(MESSAGE), 1, "500 INTERNAL", "failed", AgentError],
  [new CrpeError(MESSAGE, { cause: new Error(FULL) }), 1, "507 NO_SPACE", "no-space", NoSpaceError],
  [
    new CrpeError(MESSAGE, { cause: new CrpeError("x", { cause: { code: "EDQUOT" } }) }),
    1,
    "507 NO_SPACE",
    "no-space",
    NoSpaceError,
  ],
  [new Error(FULL), 1, "507 NO_SPACE", "no-space", NoSpaceError],
  [new Error("a reason"), 1, "500 INTERNAL", "failed", AgentError],
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

Deno.test("an error is a sentence of its parts", () => {
  const rows = [
    [cannot("read a.tgz", "it is empty"), "Cannot read a.tgz: it is empty", "it is empty"],
    [cannot("read a.tgz", "it is empty", "delete it"), "Cannot read a.tgz: it is empty; delete it", "it is empty"],
    [
      cannot("use --name with several files"),
      "Cannot use --name with several files",
      "Cannot use --name with several files",
    ],
    ["it is empty", "it is empty", "it is empty"],
    [{ reason: "it is empty", advice: "delete it" }, "it is empty; delete it", "it is empty"],
  ] as const;
  for (const [failure, message, reason] of rows) {
    const error = new CorruptError(failure);
    assertEquals([error.message, error.reason], [message, reason]);
    assertEquals(error.clause, message.replace(/^Cannot (?=read)/, "cannot ").replace(/; delete it$/, ""));
    // An error may be made of the parts of another one.
    assertEquals(new RegistryError("CORRUPT", error).message, message);
  }
});

Deno.test("an answer of an agent is a reason of another action, and no whole sentence behind it", () => {
  const said = new RegistryError("INTERNAL", cannot("read desk.pub", "it has no public key (PEM)"));
  const denied = new RegistryError("UNAUTHORIZED", cannot("answer", "the token is wrong"));
  const rows = [
    [500, said, "it answered 500: Cannot read desk.pub: it has no public key (PEM)", undefined],
    [401, denied, "it answered 401: Cannot answer: the token is wrong", "name the token's file with --token-file"],
    [502, {}, "it answered 502", undefined],
    [404, {}, "it answered 404", "is that the address of a crpe agent?"],
  ] as const;
  for (const [status, document, reason, advice] of rows) {
    const error = errorOfAnswer(status, new TextEncoder().encode(JSON.stringify(document)));
    assert(error instanceof AgentError);
    assertEquals([error.action, error.reason, error.advice], [undefined, reason, advice]);
  }
});
