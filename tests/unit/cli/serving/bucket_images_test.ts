import { SharedFiles } from "../../../../lib/bytes/shared_files.ts";
import { BucketImages } from "../../../../lib/cli/serving/bucket_images.ts";
import { ObjectStore } from "../../../../lib/object_store/object_store.ts";
import { assertEquals } from "../../../support/assert.ts";
import { buildImage } from "../../../support/images.ts";
import { MemoryS3 } from "../../../support/memory_s3.ts";
import { writeImage } from "../../../support/put_image.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const REPO = "registry.test/team/app";

Deno.test("[103] BucketImages lists a bucket once a minute, and at once after a change of this process", async () => {
  await using folder = await TestFolder.create();
  const s3 = new MemoryS3();
  const open = (name: string) =>
    new ObjectStore({ client: s3.client(), spool: `${folder.path}/${name}`, files: new SharedFiles() });
  const [own, other] = [open("own"), open("other")];
  const image = buildImage();
  // In the order of keys, `1-a/` comes before `1/`.
  await writeImage(other, `${REPO}:1-a`, image);
  await writeImage(other, `${REPO}:1`, image);
  let now = 0;
  const images = new BucketImages(own, () => now);
  const list = async () => (await images.list()).map(({ reference }) => reference.slice(REPO.length + 1));
  assertEquals(await list(), ["1", "1-a"]);
  assertEquals((await images.list())[0]?.tagged, new Date(s3.now));
  await writeImage(other, `${REPO}:2`, image);
  now = 59_999;
  s3.requests.length = 0;
  assertEquals([await list(), s3.requests], [["1", "1-a"], []]);
  now = 60_000;
  assertEquals(await list(), ["1", "1-a", "2"]);
  await own.untag(REPO, "1", image.root.digest);
  assertEquals(await list(), ["1-a", "2"]);
  await own.tag(REPO, "3", image.root.digest);
  assertEquals(await list(), ["1-a", "2", "3"]);
});

Deno.test("[103] images of a bucket are listed with few requests when they are listed again", async () => {
  await using folder = await TestFolder.create();
  const s3 = new MemoryS3();
  const store = new ObjectStore({ client: s3.client(), spool: folder.path, files: new SharedFiles() });
  const image = buildImage();
  for (let tag = 0; tag < 50; tag++) await writeImage(store, `${REPO}:${tag}`, image);
  let now = 0;
  const images = new BucketImages(store, () => now);
  await images.list();
  s3.requests.length = 0;
  now = 60_000;
  assertEquals((await images.list()).length, 50);
  // For each image its tag and its config, and some lists of folders.
  assertEquals(s3.requests.filter((it) => !it.includes("list-type")).length, 100);
  assertEquals(s3.requests.filter((it) => it.includes("list-type")).length < 10, true);
});
