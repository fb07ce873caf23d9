import { computeDigest } from "../../../lib/oci/digest.ts";
import { blobPath, partialPath } from "../../../lib/store/layout.ts";
import { countMissingBytes, type NeededContent } from "../../../lib/store/missing_bytes.ts";
import { assertEquals } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.test/team/app";
const [held, cut, partial, absent] = ["held", "cut", "partial", "absent"].map((name) => ({
  descriptor: { digest: computeDigest(name), size: 100 },
  repository: REPO,
})) as [NeededContent, NeededContent, NeededContent, NeededContent];

Deno.test("countMissingBytes() counts what a store lacks, without what an interrupted download left", async () => {
  await using folder = await TestFolder.create();
  await folder.write(blobPath(held.descriptor.digest), new Uint8Array(100));
  await folder.write(blobPath(cut.descriptor.digest), new Uint8Array(7));
  await folder.write(partialPath(partial.descriptor.digest, REPO), new Uint8Array(30));
  assertEquals(countMissingBytes(folder.path, [held]), 0);
  assertEquals(countMissingBytes(folder.path, [{ ...partial, repository: "other.test/team/app" }]), 100);
  assertEquals(countMissingBytes(folder.path, [held, cut, partial, absent]), 100 + 70 + 100);
  assertEquals(countMissingBytes(`${folder.path}/none`, [absent]), 100);
});
