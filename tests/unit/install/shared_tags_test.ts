import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { verifyStore } from "../../../lib/store/verify_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildImage, type BuiltImage } from "../../support/images.ts";
import { makeKubePkg } from "../../support/kubepkg.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { packBundle } from "../../support/pack_bundle.ts";
import { PackageSite } from "../../support/package_site.ts";
import { writeImage } from "../../support/put_image.ts";

const REPO = "registry.test/app";
const IMAGES: Readonly<Record<string, BuiltImage>> = Object.fromEntries(
  ["x", "y", "z"].map((name) => [name, buildImage({ files: [{ name }] })]),
);

/** @param words the name of the package, its image, the tag of that, and the version */
async function pack(...[name = "", image = "", tag = "1", version = "1.0.0"]: string[]) {
  const store = new MemoryStore();
  await writeImage(store, `${REPO}:${tag}`, IMAGES[image]!);
  const parts: Uint8Array[] = [];
  await packBundle(parseKubePkg(makeKubePkg({ [`${REPO}:${tag}`]: "" }, { name, version })), store, {
    output: { write: (bytes) => void parts.push(bytes.slice()) },
  });
  return joinChunks(parts);
}

/** `NAME IMAGE [TAG VERSION]` is an import of a package that has the image. After each action, the image of the tag `1`. */
const ROWS: readonly [what: string, actions: readonly (readonly [action: string, image: string | undefined])[]][] = [
  ["the last one is removed", [["a x", "x"], ["b y", "y"], ["remove b", "x"], ["remove a", undefined]]],
  ["the first one is removed", [["a x", "x"], ["b y", "y"], ["remove a", "y"], ["remove b", undefined]]],
  ["of three, one agrees with the tag", [["a x", "x"], ["b y", "y"], ["c y", "y"], ["remove c", "y"], [
    "remove b",
    "x",
  ]]],
  ["of three, the latest one that is left gets it", [["a x", "x"], ["b y", "y"], ["c z", "z"], ["remove c", "y"]]],
  ["an upgrade no longer has it", [["a x", "x"], ["b y", "y"], ["b y 2 1.1.0", "x"], ["remove b", "x"]]],
  ["an upgrade of the only package no longer has it", [["b y", "y"], ["b y 2 1.1.0", "y"], ["remove b", undefined]]],
  ["a rollback no longer has it", [["a x", "x"], ["b y 2", "x"], ["b y 1 1.1.0", "y"], ["roll b", "x"], [
    "roll b",
    "y",
  ]]],
  ["a tag that was moved by hand stays", [["a x", "x"], ["b y", "y"], ["tag z", "z"], ["remove b", "z"]]],
];

for (const [what, actions] of ROWS) {
  Deno.test(`a tag of two packages with different images goes back to the one that is left: ${what}`, async () => {
    await using site = await PackageSite.create();
    for (const [action, image] of actions) {
      const [first = "", second = ""] = action.split(" ");
      if (first === "remove") await site.remove(second);
      else if (first === "roll") await site.rollBack(second);
      else if (first === "tag") await writeImage(site.store, `${REPO}:1`, IMAGES[second]!);
      else await site.install(await pack(...action.split(" ")));
      assertEquals(await site.digestOf(REPO, "1"), image && IMAGES[image]!.root.digest, action);
      assertEquals((await verifyStore(site.data, site.store)).links, [], action);
    }
  });
}

Deno.test("an import says which tag of another installed package it moves", async () => {
  await using site = await PackageSite.create();
  const warnings: (readonly string[] | undefined)[] = [];
  for (const words of ["a x", "a x", "b y", "c y", "b y", "a x"]) {
    warnings.push((await site.install(await pack(...words.split(" ")))).plan.warnings);
  }
  const [x, y] = ["x", "y"].map((name) => IMAGES[name]!.root.digest.slice(0, 19));
  const moved = `${REPO}:1 is ${x} in the package a, and becomes ${y}`;
  // The last import is a repair, which sets the tag again.
  const back = ["b", "c"].map((name) => `${REPO}:1 is ${y} in the package ${name}, and becomes ${x}`);
  assertEquals(warnings, [undefined, undefined, [moved], undefined, undefined, back]);
});

const REMOVALS: readonly [
  what: string,
  imports: string[],
  removed: string,
  image: string | undefined,
  owner: string,
][] = [
  ["goes to the package that is left", ["a x", "b y"], "b", "x", "a"],
  ["goes to the latest one that is left", ["a x", "b y", "c z"], "c", "y", "b"],
  ["goes once, although two releases of the package had it", ["a x", "b y", "b y 1 1.1.0"], "b", "x", "a"],
  ["stays, because another package agrees with it", ["a x", "b y", "c y"], "c", undefined, ""],
  ["stays, because an earlier package had it", ["a x", "b y"], "a", undefined, ""],
  ["is removed, because no other package has it", ["a x", "b y 2"], "b", undefined, ""],
];
for (const [what, imports, removed, image, owner] of REMOVALS) {
  Deno.test(`a removal, and its dry run, say when a tag moves to another package: it ${what}`, async () => {
    await using site = await PackageSite.create();
    for (const words of imports) await site.install(await pack(...words.split(" ")));
    const before = await site.digestOf(REPO, "1");
    const digest = image && IMAGES[image]!.root.digest.slice(0, 19);
    const moved = image === undefined ? [] : [`${REPO}:1 becomes ${digest}, which the package ${owner} has`];
    const { movedTags, untagged } = await site.remove(removed, { dryRun: true });
    assertEquals([movedTags, await site.digestOf(REPO, "1")], [moved, before]);
    const done = await site.remove(removed);
    assertEquals([done.movedTags, done.untagged], [moved, untagged]);
  });
}
