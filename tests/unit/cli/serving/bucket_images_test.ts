import { createRareCheck } from "../../../../lib/cli/serving/check_health.ts";
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
  await own.forgetImages([{ repository: REPO, tag: "1", digest: image.root.digest }], {});
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

Deno.test("[103] a page asks at most once a minute whether its bucket can be read, and again at once when it cannot", async () => {
  let [now, asked, isUp] = [0, 0, false];
  const check = createRareCheck({
    checkReachable: () => ++asked > 0 && isUp ? Promise.resolve() : Promise.reject(new Error("it is down")),
  }, () => now);
  const rows: readonly (readonly [at: number, isUp: boolean, asked: number, outcome: string])[] = [
    [0, false, 1, "it is down"],
    [1, false, 2, "it is down"],
    [5000, true, 3, "well"],
    [10_000, false, 3, "well"],
    [64_999, false, 3, "well"],
    [65_000, false, 4, "it is down"],
    [70_000, true, 5, "well"],
  ];
  for (const [at, up, count, outcome] of rows) {
    [now, isUp] = [at, up];
    assertEquals([await check().then(() => "well", (error) => error.message), asked], [outcome, count]);
  }
});
