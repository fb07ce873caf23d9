import {
  CorruptError,
  IncompleteError,
  NoSpaceError,
  RefusedError,
  RegistryError,
  TruncatedError,
  unlessCorrupt,
} from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";

Deno.test("RegistryError has the HTTP status of its code", () => {
  const statuses = {
    BLOB_UNKNOWN: 404,
    DENIED: 403,
    DIGEST_INVALID: 400,
    INTERNAL: 500,
    MANIFEST_UNKNOWN: 404,
    NAME_INVALID: 400,
    NAME_UNKNOWN: 404,
    RANGE_INVALID: 416,
    TOOMANYREQUESTS: 429,
    UNAUTHORIZED: 401,
    UNSUPPORTED: 405,
  } as const;
  for (const [code, status] of Object.entries(statuses)) {
    assertEquals(new RegistryError(code as keyof typeof statuses, "x").status, status);
  }
});

Deno.test("RegistryError accepts a status that overrides the one of its code", () => {
  assertEquals(new RegistryError("DENIED", "x", { status: 451 }).status, 451);
});

Deno.test("RegistryError serializes to the error document of the specification, without its cause", () => {
  const error = new RegistryError("NAME_UNKNOWN", "Cannot x: y", {
    cause: new Error("a secret"),
    detail: { name: "a" },
  });
  assertEquals(
    JSON.stringify(error),
    '{"errors":[{"code":"NAME_UNKNOWN","message":"Cannot x: y","detail":{"name":"a"}}]}',
  );
  assertEquals(
    JSON.stringify(new RegistryError("DENIED", "x")),
    '{"errors":[{"code":"DENIED","message":"x"}]}',
  );
  assertEquals(
    new RegistryError("CORRUPT", "Cannot use a\x7f\u202eb:\n\x1b[31mc").toJSON().errors[0]!.message,
    "Cannot use a\\u007f\\u202eb:\n\\u001b[31mc",
  );
});

Deno.test("error classes keep their name and cause", () => {
  const cause = new Error("why");
  const errors = [
    new CorruptError("x", { cause }),
    new RefusedError("x", { cause }),
    new IncompleteError("x", ["sha256:a"], { cause }),
    new NoSpaceError("x", { cause }),
  ];
  assertEquals(errors.map(({ name }) => name), ["CorruptError", "RefusedError", "IncompleteError", "NoSpaceError"]);
  for (const error of errors) assert(error.cause === cause);
  assertEquals(new IncompleteError("x", ["sha256:a"]).missing, ["sha256:a"]);
});

Deno.test("unlessCorrupt() gives nothing for a CorruptError, and throws every other error", () => {
  const failing = (error: Error) => () => {
    throw error;
  };
  assertEquals(unlessCorrupt(() => 1), 1);
  assertEquals(unlessCorrupt(failing(new TruncatedError("x"))), undefined);
  assertThrows(() => unlessCorrupt(failing(new RefusedError("x"))), RefusedError);
});
