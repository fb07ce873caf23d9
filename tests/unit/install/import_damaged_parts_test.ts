import { verifyBundle } from "../../../lib/bundle/verify_bundle.ts";
import { FileSource } from "../../../lib/bytes/file_source.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import type { PartItem, PartsOptions } from "../../support/bundle_parts.ts";
import { streamOf } from "../../support/content.ts";
import { CountedFile } from "../../support/counted_file.ts";
import { APP, createSite, LARGE, LARGE_SIZE, LAYOUT, NAME, PARTS, parts, REST, WHOLE } from "./import_parts_support.ts";
import { idOf } from "../../support/kubepkg.ts";

Deno.test("[48] installBundle() refuses a damaged or truncated part, names it, and does not record its pieces", async () => {
  const flipped = PARTS[1]!.slice();
  flipped[flipped.length - 100_000]! ^= 1;
  const damages: [string, Uint8Array<ArrayBuffer>, string][] = [
    ["a flipped bit", flipped, "its checksum does not match the data"],
    ["cut in the piece", PARTS[1]!.slice(0, 200_000), "the.tgz"],
    ["without a trailer", PARTS[1]!.slice(0, -8), "the.tgz"],
    ["without its end", PARTS[1]!.slice(0, -1100), "the.tgz"],
  ];
  for (const [what, bytes, message] of damages) {
    await using site = await createSite();
    await site.install(PARTS[0]!);
    for (const _ of [1, 2]) {
      const error = await assertRejects(() => site.install(bytes), CorruptError);
      assertStringIncludes(error.message, message, what);
      assertEquals((await site.records.pending.read(idOf(NAME)))?.part?.received, [1]);
      assertEquals((await site.store.listPieces(LARGE)).length, 1, what);
    }
    await site.install(PARTS[2]!);
    await site.checkHidden();
    await site.install(PARTS[1]!);
    await site.checkInstalled();
    assertEquals(await site.list(), WHOLE);
  }
});

Deno.test("[48] installBundle() of a damaged part does not overwrite bytes that are recorded already", async () => {
  await using site = await createSite();
  await site.install(PARTS[0]!);
  const layout: PartItem[][] = [[], [[LARGE, 200_000, 500_000]], []];
  const spoil = (_: string, bytes: Uint8Array) => bytes.slice().with(5, 1 + bytes[5]!);
  const damaged = (await parts(APP.kubepkg, { spoil }, layout))[1]!.slice();
  damaged[damaged.length - 6]! ^= 1;
  await assertRejects(() => site.install(damaged), CorruptError);
  await site.install(PARTS[1]!);
  await site.install(PARTS[2]!);
  await site.checkInstalled();
});

Deno.test("[43] installBundle() deletes pieces that do not make the blob, and names their parts, which can be imported again", async () => {
  await using site = await createSite();
  const spoil = (name: string, bytes: Uint8Array) =>
    name.startsWith("pieces") ? bytes.slice().with(5, 1 + bytes[5]!) : bytes;
  const wrong = await parts(APP.kubepkg, { spoil });
  await site.install(wrong[1]!);
  await site.install(PARTS[0]!);
  const { message } = await assertRejects(() => site.install(PARTS[2]!), CorruptError);
  assertStringIncludes(message, `Cannot import line4@1.0.0: cannot accept ${LARGE}: the content has digest`);
  assertStringIncludes(message, "it was assembled from parts 1, 2 and 3; import these again");
  await site.checkHidden();
  assertEquals([await site.listIngest(), (await site.records.pending.read(idOf(NAME)))?.part?.received], [[], []]);
  for (const part of PARTS) await site.install(part);
  await site.checkInstalled();
});

Deno.test("[53] installBundle() refuses a part whose content differs from the list of what it carries", async () => {
  const [digest] = REST[0]!;
  const wrong: [PartsOptions["spoil"], string][] = [
    [
      (name, bytes) => name.startsWith("pieces") ? undefined : bytes,
      `it does not contain pieces/${LARGE.replace(":", "/")}/0`,
    ],
    [
      (name, bytes) => name.startsWith("blobs") ? undefined : bytes,
      `it does not contain blobs/${digest.replace(":", "/")}`,
    ],
    [(name, bytes) => name.startsWith("pieces") ? bytes.slice(1) : bytes, "has 299999 bytes, kubepkg.json says 300000"],
  ];
  for (const [spoil, message] of wrong) {
    await using site = await createSite();
    const [first] = await parts(APP.kubepkg, spoil === undefined ? {} : { spoil });
    const error = await assertRejects(() => site.install(first!), CorruptError);
    assertStringIncludes(error.message, message);
    assertEquals([await site.store.listPieces(LARGE), (await site.records.pending.read(idOf(NAME)))?.part?.received], [
      [],
      [],
    ]);
    await site.checkHidden();
  }
  await using site = await createSite();
  const beyond = await parts(APP.kubepkg, {}, [[[LARGE, LARGE_SIZE - 10, 11]], LAYOUT[1]!]);
  await assertRejects(() => site.install(beyond[0]!), CorruptError, "its status.part lists more of");
  const many = Array.from({ length: 17 }, (_, i): PartItem => [LARGE, i, 1]);
  const crumbs = await parts(APP.kubepkg, {}, [many, LAYOUT[1]!]);
  await assertRejects(() => site.install(crumbs[0]!), CorruptError, "its status.part lists 17 pieces of");
  const unknown = computeDigest("nobody has this");
  const contents = new Map([...APP.contents, [unknown, new Uint8Array(1)]]);
  const stranger = await parts(APP.kubepkg, { contents }, [[[unknown]], LAYOUT[1]!]);
  await assertRejects(() => site.install(stranger[0]!), CorruptError, "which status.digests does not");
  assertEquals(await site.folder.listFiles(), []);
});

Deno.test("[52] installBundle() refuses a part of a package whose name is a path", async () => {
  await using site = await createSite();
  const { metadata } = APP.kubepkg;
  const [first] = await parts({ ...APP.kubepkg, metadata: { ...metadata, name: "../../x" } });
  await assertRejects(() => site.install(first!), CorruptError, "metadata.name");
  assertEquals(await site.folder.listFiles(), []);
});

Deno.test("installBundle() refuses a piece in a bundle that is not one part of several", async () => {
  await using site = await createSite();
  const [, second] = await parts();
  const text = new TextDecoder("latin1").decode((await parts(APP.kubepkg, { compression: "none" }))[1]!);
  const at = text.indexOf('"part": {');
  const bytes = (await parts(APP.kubepkg, { compression: "none" }))[1]!;
  bytes.set(new TextEncoder().encode('"nope": {'), at);
  assert(second !== undefined && at > 0);
  await assertRejects(() => site.install(bytes), CorruptError, "which does not belong in a bundle");
});

Deno.test("verifyBundle() finds no problem in a correct part, and the problem of a damaged one", async () => {
  const flipped = PARTS[1]!.slice();
  flipped[flipped.length - 100_000]! ^= 1;
  for (const open of [streamOf, (bytes: Uint8Array<ArrayBuffer>) => new FileSource(new CountedFile(bytes))]) {
    for (const part of PARTS) assertEquals((await verifyBundle(open(part))).problems, []);
    assertEquals((await verifyBundle(open(flipped))).problems.length, 1);
  }
});
