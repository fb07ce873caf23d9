import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildImage } from "../../support/images.ts";
import { makeKubePkg } from "../../support/kubepkg.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { packBundle } from "../../support/pack_bundle.ts";
import { PackageSite } from "../../support/package_site.ts";
import { writeImage } from "../../support/put_image.ts";

const REPO = "registry.test/app";
const image = buildImage();
const TAG = `${image.root.digest.replace(":", "-")}.sig`;
/** The manifest under the tag: a layer for each signature, as cosign makes it. */
const signed = (by: string) => buildImage({ files: [...by].map((name) => ({ [name]: name })) });

async function pack(name: string, version: string, by: string): Promise<Uint8Array<ArrayBuffer>> {
  const store = new MemoryStore();
  await writeImage(store, `${REPO}:1`, image);
  await writeImage(store, `${REPO}:${TAG}`, signed(by));
  const parts: Uint8Array[] = [];
  await packBundle(parseKubePkg(makeKubePkg({ [`${REPO}:1`]: "" }, { name, version })), store, {
    referrers: { catalog: store, isCarried: true },
    output: { write: (bytes) => void parts.push(bytes.slice()) },
  });
  return joinChunks(parts);
}

/** Actions one after the other; `NAME VERSION SIGNATURES` is an import. After each, whose signatures the tag leads to. */
const ROWS: readonly [what: string, actions: readonly (readonly [action: string, by: string | undefined])[]][] = [
  ["an older list of another package does not replace a longer one", [
    ["a 1.0.0 xy", "xy"],
    ["b 1.0.0 x", "xy"],
    ["b 1.0.0 x", "xy"],
    ["remove a", "xy"],
    ["remove b", undefined],
  ]],
  ["a longer list replaces a shorter one, and stays", [
    ["a 1.0.0 x", "x"],
    ["b 1.0.0 xy", "xy"],
    ["remove b", "xy"],
    ["remove a", undefined],
  ]],
  ["of two lists with nothing in common, it is that of the later import", [
    ["a 1.0.0 x", "x"],
    ["b 1.0.0 y", "y"],
    ["remove a", "y"],
    ["remove b", undefined],
  ]],
  ["the same package may have fewer signatures", [
    ["a 1.0.0 xy", "xy"],
    ["a 1.1.0 x", "x"],
    ["roll back a", "xy"],
  ]],
  ["a rollback does not replace a longer list of another package", [
    ["a 1.0.0 x", "x"],
    ["a 1.1.0 y", "y"],
    ["b 1.0.0 xyz", "xyz"],
    ["roll back a", "xyz"],
  ]],
];

for (const [what, actions] of ROWS) {
  Deno.test(`signatures of an image that two packages have: ${what}`, async () => {
    await using site = await PackageSite.create();
    for (const [action, by] of actions) {
      const [first = "", second = "", third = ""] = action.split(" ");
      if (first === "remove") await site.remove(second);
      else if (first === "roll") await site.rollBack(third);
      else await site.install(await pack(first, second, third));
      assertEquals(await site.digestOf(REPO, TAG), by === undefined ? undefined : signed(by).root.digest, action);
    }
  });
}
