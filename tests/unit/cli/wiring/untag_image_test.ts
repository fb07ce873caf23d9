import { SharedFiles } from "../../../../lib/bytes/shared_files.ts";
import { untagImage } from "../../../../lib/cli/wiring/untag_image.ts";
import { PackageRecords } from "../../../../lib/install/package_records.ts";
import { ObjectStore } from "../../../../lib/object_store/object_store.ts";
import { RegistryError } from "../../../../lib/oci/error.ts";
import { parseReference } from "../../../../lib/oci/reference.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { buildImage } from "../../../support/images.ts";
import { MemoryS3 } from "../../../support/memory_s3.ts";
import { writeImage } from "../../../support/put_image.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const NAME = "registry.test/app:1";
const LINK = "pre/docker/registry/v2/repositories/registry.test/app/_manifests/tags/1/current/link";
const CHANGED = [
  // Nothing forbids it, which exit status 3 would say.
  "LOCKED with 423 and exit status 1",
  `Cannot remove ${NAME}: another machine has changed it meanwhile; try again`,
];

const ROWS: readonly (readonly [what: string, meanwhile: (s3: MemoryS3) => void, outcome: readonly string[]])[] = [
  ["nothing else happens", () => {}, ["removed", NAME]],
  ["another machine sets it", (s3) => s3.objects.set(LINK, { ...s3.objects.get(LINK)!, etag: '"other"' }), CHANGED],
];
for (const [what, meanwhile, outcome] of ROWS) {
  Deno.test(`[103] untagImage() says "${outcome[0]}" when ${what} while it removes the tag`, async () => {
    await using folder = await TestFolder.create();
    const s3 = new MemoryS3();
    const store = new ObjectStore({ client: s3.client(), spool: folder.path, files: new SharedFiles() });
    await writeImage(store, NAME, buildImage());
    s3.intercept = ({ method, headers }) => {
      if (method === "DELETE" && headers.has("if-match")) meanwhile(s3);
      return undefined;
    };
    const place = { store, records: new PackageRecords(folder.path) };
    const removal = untagImage(parseReference(NAME), place);
    if (outcome === CHANGED) {
      const { code, status, exit, message } = await assertRejects(() => removal, RegistryError);
      assertEquals([`${code} with ${status} and exit status ${exit}`, message], outcome);
    } else assertEquals(["removed", await removal], outcome);
    assertEquals(s3.objects.has(LINK), outcome === CHANGED);
  });
}
