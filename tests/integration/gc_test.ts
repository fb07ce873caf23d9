import { isComplete } from "../../lib/cache/completeness.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { assert, assertEquals, assertGreater, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { CacheFixture, HOST, PATH, until } from "../support/cache_fixture.ts";
import { makeBytes } from "../support/content.ts";
import { runCrpe, spawnCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { writeImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const KIB = 1024;
const REPO = "registry.test/team/app";

function crpeIn(folder: TestFolder) {
  return (...args: string[]) => runCrpe(args, { env: { HOME: folder.path }, cwd: folder.path });
}

/** Makes an image with several large layers, so that an import can be stopped before its end. */
function makeApp(seed: number) {
  const files = [0, 1, 2].map((layer) => ({ "data.bin": makeBytes(700 * KIB, seed * 10 + layer) }));
  return buildImage({ files, layerCompression: "none" });
}

Deno.test("gc --dry-run reports what gc then removes, and a second gc removes nothing", async () => {
  await using folder = await TestFolder.create();
  const crpe = crpeIn(folder);
  const store = new DiskStore(`${folder.path}/data`);
  const [kept, untagged] = [buildImage({ files: { a: "kept" } }), buildImage({ files: { b: "not kept" } })];
  await writeImage(store, `${REPO}:1`, untagged);
  await writeImage(store, `${REPO}:1`, kept);
  const blob = makeBytes(2000, 5);
  const stray = makeApp(1).blobs.keys().next().value!;
  await folder.write(`data/docker/registry/v2/blobs/sha256/${stray.slice(7, 9)}/${stray.slice(7)}/data`, blob);

  const dry = await crpe("gc", "--data=data", "--dry-run", "--json");
  assertEquals(dry.code, 0);
  const nothing = { manifests: 0, links: 0, ended: [], partials: 0, partialBytes: 0 };
  assertEquals(JSON.parse(dry.stdout), { dryRun: true, blobs: 1, bytes: 2000, ...nothing });
  assertEquals((await crpe("gc", "--data=data")).stdout, "removed 1 blob (2 KiB), 0 manifests, 0 links\n");
  assert(await isComplete(new DiskStore(`${folder.path}/data`), REPO, untagged.root));
  const all = await crpe("gc", "--data=data", "--untagged");
  assertMatch(all.stdout, /^removed 3 blobs \(.*\), 1 manifest, 3 links\n$/);
  assertEquals((await crpe("gc", "--data=data", "--untagged")).stdout, "removed 0 blobs (0 B), 0 manifests, 0 links\n");
  assertEquals((await crpe("verify", "--data=data")).code, 0);
  assert(await isComplete(new DiskStore(`${folder.path}/data`), REPO, kept.root));
  assertEquals((await crpe("gc", "--data=nowhere")).code, 0);
  assertEquals(await folder.listFiles("nowhere"), []);
});

Deno.test("[39] gc keeps the content of installed packages and of the versions that they replaced, even untagged", async () => {
  await using folder = await TestFolder.create();
  const crpe = crpeIn(folder);
  const images = [1, 2].map((version) => buildImage({ files: { version: `${version}` } }));
  for (const [i, image] of images.entries()) {
    await writeImage(new DiskStore(`${folder.path}/source`), `${REPO}:${i + 1}`, image);
    const kubepkg = makeKubePkg({ [`${REPO}:${i + 1}`]: "" }, { version: `${i + 1}.0.0` });
    await folder.write(`${i}.json`, JSON.stringify(kubepkg));
    const packed = await crpe("pack", `${i}.json`, "-o", `${i}.tgz`, "--data=source", "--offline");
    assertEquals(packed.code, 0, packed.stderr);
    assertEquals((await crpe("import", `${i}.tgz`, "--data=site")).code, 0);
  }
  const other = buildImage({ files: { other: "one" } });
  await writeImage(new DiskStore(`${folder.path}/site`), `${REPO}:other`, other);
  await Deno.remove(`${folder.path}/site/docker/registry/v2/repositories/${REPO}/_manifests/tags`, { recursive: true });
  const { code, stdout, stderr } = await crpe("gc", "--data=site", "--untagged", "--json");
  assertEquals(code, 0, stderr);
  assertEquals(JSON.parse(stdout).manifests, 1);
  const store = new DiskStore(`${folder.path}/site`);
  for (const { root } of images) assert(await isComplete(store, REPO, root));
  assertEquals(await isComplete(store, REPO, other.root), false);

  await folder.write("site/kubepkg/line4/current.json", "{torn");
  const broken = await crpe("gc", "--data=site");
  assertEquals(broken.code, 0);
  assertStringIncludes(broken.stderr, "site/kubepkg/line4/current.json");
  for (const { root } of images) assert(await isComplete(new DiskStore(`${folder.path}/site`), REPO, root));
});

Deno.test("[35] gc is refused while an import runs, removes nothing of it, and removes the blobs of a killed import", async () => {
  await using folder = await TestFolder.create();
  const crpe = crpeIn(folder);
  const app = makeApp(1);
  await writeImage(new DiskStore(`${folder.path}/source`), `${REPO}:1`, app);
  await folder.write("app.json", JSON.stringify(makeKubePkg({ [`${REPO}:1`]: "" })));
  assertEquals((await crpe("pack", "app.json", "-o", "app.tgz", "--data=source", "--offline")).code, 0);
  const bundle = await Deno.readFile(`${folder.path}/app.tgz`);

  /** Starts an import that has committed some of its blobs and waits for more input. */
  const startImport = async () => {
    const gate = Promise.withResolvers<void>();
    const stdin = new ReadableStream<Uint8Array<ArrayBuffer>>({
      async start(controller) {
        controller.enqueue(bundle.slice(0, Math.floor(bundle.length * 0.8)));
        await gate.promise;
        controller.enqueue(bundle.slice(Math.floor(bundle.length * 0.8)));
        controller.close();
      },
    });
    const env = { HOME: folder.path };
    const running = spawnCrpe(["import", "-", "--data=site"], { env, cwd: folder.path, stdin });
    running.listening.catch(() => {});
    await until("two blobs are in place", async () => (await listBlobs()).length >= 2);
    return { running, release: gate.resolve };
  };
  const listBlobs = () => folder.listFiles("site/docker/registry/v2/blobs");

  const killed = await startImport();
  const before = await listBlobs();
  const refused = await crpe("gc", "--data=site", "--untagged");
  // The import continues in the meantime: blobs may appear, but none may disappear.
  const after = await listBlobs();
  assertEquals(refused.code, 1);
  assertEquals(before.filter((name) => !after.includes(name)), []);
  assertStringIncludes(refused.stderr, "an import, a pull, a pack or another collection is in progress");
  assertEquals(refused.stderr.trim().split("\n").length, 1);
  killed.running.kill("SIGKILL");
  killed.release();
  await killed.running.finished;
  const left = await listBlobs();
  const collected = await crpe("gc", "--data=site", "--json");
  assertEquals(collected.code, 0);
  assertEquals(await listBlobs(), []);
  assertEquals(JSON.parse(collected.stdout).blobs, left.length);

  const alive = await startImport();
  assertEquals((await crpe("gc", "--data=site", "--untagged")).code, 1);
  alive.release();
  const { code, stderr } = await alive.running.finished;
  assertEquals(code, 0, stderr);
  const swept = await crpe("gc", "--data=site", "--untagged", "--json");
  assertEquals(swept.code, 0);
  assertEquals(JSON.parse(swept.stdout).blobs, 0);
  assert(await isComplete(new DiskStore(`${folder.path}/site`), REPO, app.root));
});

Deno.test("[35] every pull succeeds, and nothing is lost, while gc runs repeatedly and the registry serves", async () => {
  await using fixture = await CacheFixture.start({ flags: ["--tag-ttl=0"] });
  const crpe = crpeIn(fixture.folder);
  const layers = Array.from({ length: 8 }, (_, i) => makeBytes(60 * KIB + i, 100 + i));
  const tags = Array.from({ length: 16 }, (_, i) => `v${i}`);
  const images = tags.map((tag, i) => fixture.upstream.addImage(PATH, tag, [layers[i % 8]!, layers[(i * 3 + 1) % 8]!]));
  // Content that no manifest refers to yet, but soon will.
  const store = new DiskStore(fixture.data);
  for (const [i, { digest, size }] of images.flatMap(({ layers }) => layers).entries()) {
    const bytes = layers.find((layer) => layer.length === size)!;
    await store.writeBlob("other.test/x", { mediaType: "", digest, size }, new Blob([bytes]).stream());
    if (i > 8) break;
  }
  let isCollecting = true;
  const collect = async () => {
    let removed = 0;
    for (const flags of [[], ["--untagged"], ["--untagged"], [], ["--untagged"]]) {
      const { code, stdout, stderr } = await crpe("gc", `--data=${fixture.data}`, "--json", ...flags);
      assertEquals(code, 0, stderr);
      removed += JSON.parse(stdout).blobs;
    }
    isCollecting = false;
    return removed;
  };
  const pull = async () => {
    for (let round = 0; isCollecting || round === 0; round++) {
      for (const tag of tags) await fixture.pull(tag);
      // Some tags move to new manifests.
      for (const tag of tags.slice(0, 4)) {
        if (isCollecting) fixture.upstream.addImage(PATH, tag, [layers[round % 8]!, makeBytes(5000, 1000 + round)]);
      }
    }
  };
  const [removed] = await Promise.all([collect(), pull()]);
  assertGreater(removed, 0);
  // A client receives the last bytes of a blob just before the blob is committed.
  await until("no download is in progress", async () => (await fixture.listTemporary()).length === 0);
  await fixture.stopUpstream();
  await fixture.restart();
  for (const tag of tags) await fixture.pull(tag);
  const { code, stdout } = await crpe("verify", `--data=${fixture.data}`);
  assertEquals(code, 0, stdout);
  assertEquals(await fixture.listTemporary(), []);
  const held = JSON.parse((await crpe("images", `--data=${fixture.data}`, "--json")).stdout) as {
    isComplete: boolean;
  }[];
  assertEquals(held.map((image) => image.isComplete), tags.map(() => true));
  assertStringIncludes(JSON.stringify(held), `${HOST}/${PATH}:v0`);
});

Deno.test("[37] an image can still be pulled without its upstream after another one with the same layer was removed", async () => {
  await using fixture = await CacheFixture.start();
  const crpe = crpeIn(fixture.folder);
  const [shared, first, second] = [makeBytes(9000, 1), makeBytes(8000, 2), makeBytes(7000, 3)];
  const image = fixture.upstream.addImage(PATH, "first", [shared, first]);
  fixture.upstream.addImage(PATH, "second", [shared, second]);
  await fixture.pull("first");
  await fixture.pull("second");
  await Deno.remove(`${fixture.data}/docker/registry/v2/repositories/${HOST}/${PATH}/_manifests/tags/first`, {
    recursive: true,
  });
  await fixture.stopUpstream();
  assertEquals((await crpe("gc", `--data=${fixture.data}`, "--untagged")).code, 0);
  assertEquals(await fixture.holds(image.layers[1]!.digest), false);
  await fixture.pull("second");
  await fixture.restart();
  await fixture.pull("second");
});
