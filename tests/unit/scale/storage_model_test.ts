import { requestsToServe, requestsToStore, type StorageRequests } from "../../../scripts/scale/storage_model.ts";
import { SharedFiles } from "../../../lib/bytes/shared_files.ts";
import { LocalCopies } from "../../../lib/cache/local_copies.ts";
import { ObjectStore } from "../../../lib/object_store/object_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeBlob, makeManifest, readAll, streamOf } from "../../support/content.ts";
import { MemoryS3 } from "../../support/memory_s3.ts";
import { TestFolder } from "../../support/test_folder.ts";

const MIB = 2 ** 20;
const REPO = "registry.test/team/app";

/** The requests since the last call. */
function takeRequests(s3: MemoryS3): StorageRequests {
  const requests = s3.requests.splice(0);
  const reads = requests.filter((it) => /^(GET|HEAD)/.test(it) && !it.includes("list-type=2")).length;
  return { writes: requests.length - reads, reads };
}

// Sizes of the configuration and the layers.
const IMAGES: readonly (readonly number[])[] = [
  [100, MIB],
  [100, 8 * MIB],
  [100, 8 * MIB + 1],
  [100, 5, 6, 20 * MIB, 7],
];
for (const sizes of IMAGES) {
  Deno.test(`requestsToStore() and requestsToServe() count what ObjectStore sends for blobs of ${sizes.join(", ")} bytes`, async () => {
    await using folder = await TestFolder.create();
    const s3 = new MemoryS3();
    const files = new SharedFiles();
    using copies = await LocalCopies.open({ folder: folder.path, files, maxBytes: 100 * MIB, warn() {} });
    const open = (copies?: LocalCopies) => new ObjectStore({ client: s3.client(), spool: folder.path, files, copies });
    const [config, ...layers] = sizes.map((size, index) => makeBlob(size, index + 1));
    const manifest = makeManifest(config!, layers);

    const store = open();
    for (const blob of [config!, ...layers]) await store.writeBlob(REPO, blob.descriptor, streamOf(blob.bytes));
    await store.writeManifest(REPO, manifest.descriptor, manifest.bytes);
    await store.tag(REPO, "1", manifest.descriptor.digest);
    assertEquals(takeRequests(s3), requestsToStore(sizes));

    const other = open(copies);
    for (let client = 0; client < 3; client++) {
      await other.readManifest(REPO, manifest.descriptor.digest);
      for (const blob of [config!, ...layers]) await readAll((await other.openBlob(REPO, blob.descriptor.digest))!);
    }
    assertEquals(takeRequests(s3), requestsToServe(sizes));
    // The last bytes are sent before the file has its name.
    while (copies!.isCopying) await new Promise((resolve) => setTimeout(resolve, 1));
  });
}
