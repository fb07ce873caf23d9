import { blobPath } from "../../../lib/store/layout.ts";
import { ManifestReader } from "../../../lib/store/manifest_reader.ts";
import { assertEquals } from "../../support/assert.ts";
import { type Content, makeBlob, makeManifest } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const [config, layer] = [makeBlob(10, 1), makeBlob(20, 2)];
const small = makeManifest(config, [layer]);
const makeLarge = (seed: number) => makeManifest(makeBlob(seed, seed), Array.from({ length: 9000 }, () => layer));

const rows: readonly [what: string, others: readonly Content[], isKnown: boolean][] = [
  ["keeps what a manifest references", [makeManifest(layer, [])], true],
  ["keeps it beside one large manifest", [makeLarge(3)], true],
  ["drops it when the others have too many digests", Array.from({ length: 12 }, (_, i) => makeLarge(i + 3)), false],
];
for (const [what, others, isKnown] of rows) {
  Deno.test(`ManifestReader ${what}`, async () => {
    await using folder = await TestFolder.create();
    for (const { descriptor, bytes } of [small, ...others]) await folder.write(blobPath(descriptor.digest), bytes);
    const reader = new ManifestReader(folder.path);
    for (const { descriptor } of [small, ...others]) {
      assertEquals((await reader.read(descriptor.digest))?.manifests, []);
    }
    // Only what is kept in memory is found now.
    await Deno.remove(`${folder.path}/${blobPath(small.descriptor.digest)}`);
    assertEquals(await reader.read(small.descriptor.digest) !== undefined, isKnown);
    reader.forget(small.descriptor.digest);
    assertEquals(await reader.read(small.descriptor.digest), undefined);
  });
}
