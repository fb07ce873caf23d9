import { NoSpaceError } from "../../../lib/oci/error.ts";
import { DigestMismatchError } from "../../../lib/content/verifier.ts";
import { WriteHealth } from "../../../lib/store/write_health.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

const denied = () => new Deno.errors.PermissionDenied("Permission denied (os error 13): rename 'a' -> 'b'");

async function open() {
  const folder = await TestFolder.create();
  const it = { time: 0, warnings: [] as string[] };
  const health = new WriteHealth({ warn: (message) => it.warnings.push(message), now: () => it.time });
  const fail = (path: string, error: unknown) =>
    assertRejects(() => health.run(`${folder.path}/${path}`, () => Promise.reject(error)));
  return Object.assign(it, {
    root: folder.path,
    health,
    fail,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  });
}

Deno.test("[96] a folder that is not writable is reported once, with its path and its owner", async () => {
  await using it = await open();
  await Deno.mkdir(`${it.root}/blobs/sha256/ab`, { recursive: true });
  await it.fail("blobs/sha256/ab/abcd/data", denied());
  await it.fail("blobs/sha256/cd/cdef/data", denied());
  assertEquals(it.warnings.length, 1);
  const { uid } = Deno.lstatSync(it.root);
  assertStringIncludes(it.warnings[0]!, `Cannot keep new content: ${it.root}/blobs/sha256/ab belongs to `);
  assertStringIncludes(it.warnings[0]!, uid === 0 ? "root (mode 755)" : `uid ${uid} (mode 755)`);
  assertStringIncludes(it.warnings[0]!, "chown -R");
  assertStringIncludes(it.health.problem!, "belongs to");
});

Deno.test("[96] a problem stays for a while although other writes succeed, and ends when it does not occur again", async () => {
  await using it = await open();
  await it.fail("x", denied());
  await it.health.run("y", () => Promise.resolve());
  it.time = 599_000;
  assertStringIncludes(it.health.problem!, "not writable");
  await it.fail("x", denied());
  it.time = 1_198_000;
  assertStringIncludes(it.health.problem!, "not writable");
  it.time = 1_200_000;
  assertEquals(it.health.problem, undefined);
  await it.fail("x", denied());
  assertEquals(it.warnings.length, 2);
});

Deno.test("[31] a full disk is a problem until a write succeeds", async () => {
  await using it = await open();
  for (const error of [new NoSpaceError("x"), Object.assign(new Error("x"), { code: "ENOSPC" })]) {
    await it.fail("x", error);
    assertEquals(it.health.problem, "no space left on the device");
    await it.health.run("x", () => Promise.resolve());
    assertEquals(it.health.problem, undefined);
  }
  assertEquals(it.warnings, []);
});

Deno.test("[96] other errors are no problem of the store", async () => {
  await using it = await open();
  await it.fail("x", new DigestMismatchError("x"));
  await it.fail("x", new Deno.errors.NotFound("x"));
  assertEquals([it.health.problem, it.warnings], [undefined, []]);
});
