import { freeBytesOf } from "../../lib/files/free_bytes.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { blobPath } from "../../lib/store/layout.ts";
import { assertEquals, assertMatch } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { buildImage } from "../support/images.ts";
import { writeImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

// 1 PiB, more than the disk of a test machine has.
const HUGE = 2 ** 50;

Deno.test("[32] pull and pack refuse an image for which there is no room, and write nothing", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  const { manifestBytes } = upstream.addImage("team/app", "1");
  const manifest = JSON.parse(new TextDecoder().decode(manifestBytes));
  manifest.layers[0].size = HUGE;
  upstream.addManifest("team/app", new TextEncoder().encode(JSON.stringify(manifest)), { tag: "1" });
  const options = { env: { HOME: folder.path }, cwd: folder.path };
  const flags = ["--data=data", `--upstream=r.test=${upstream.url}`];

  const pull = await runCrpe(["pull", "r.test/team/app:1", ...flags], options);
  assertEquals([pull.code, pull.stdout], [1, ""], pull.stderr);
  assertMatch(
    pull.stderr,
    /^crpe: Cannot pull r\.test\/team\/app:1: it needs 1024 TiB in data, [\d.]+ .iB are free, [\d.]+ TiB are missing\n$/,
  );
  const layer = manifest.layers[0].digest as string;
  const asked = () => upstream.requests.filter(({ path }) => path.endsWith(layer)).length;
  assertEquals(asked(), 0);
  const name = layer.replace(":", "-");
  assertEquals((await folder.listFiles("data/ingest")).filter((file) => file.startsWith(name)), []);

  const kubepkg = { apiVersion: "octohelm.tech/v1alpha1", kind: "KubePkg", metadata: { name: "app" } };
  await folder.write(
    "app.json",
    JSON.stringify({ ...kubepkg, spec: { version: "1.0.0", images: { "r.test/team/app:1": "" } } }),
  );
  const pack = ["pack", "app.json", "--output=out/app.tgz", "--platform=linux/amd64", ...flags];
  for (const [more, what] of [[[], "out/app.tgz"], [["--split=600TiB"], "\\d+ parts"]] as const) {
    const { code, stderr } = await runCrpe([...pack, ...more], options);
    const message = new RegExp(
      `^crpe: Cannot write ${what}: it needs 1024 TiB in out, [\\d.]+ .iB are free, [\\d.]+ TiB are missing$`,
      "m",
    );
    assertEquals(code, 1, stderr);
    assertMatch(stderr, message);
  }
  assertEquals([asked(), await folder.listFiles("out")], [0, []]);
});

Deno.test("[32] pull refuses images that have room one by one, but not together", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  const size = Math.floor((await freeBytesOf(folder.path) ?? 0) * 0.6);
  const layers: string[] = [];
  for (const name of ["a", "b"]) {
    const manifest = JSON.parse(new TextDecoder().decode(upstream.addImage(`team/${name}`, "1").manifestBytes));
    manifest.layers[0].size = size;
    layers.push(manifest.layers[0].digest);
    upstream.addManifest(`team/${name}`, new TextEncoder().encode(JSON.stringify(manifest)), { tag: "1" });
  }
  const names = ["r.test/team/a:1", "r.test/team/none:1", "r.test/team/b:1"];
  const flags = ["--data=data", `--upstream=r.test=${upstream.url}`];
  const options = { env: { HOME: folder.path }, cwd: folder.path };
  const { code, stdout, stderr } = await runCrpe(["pull", ...names, ...flags, "--json"], options);
  assertEquals(code, 1, stderr);
  const items = JSON.parse(stdout).map((
    it: { item: string; error: string },
  ) => [it.item, /was not found/.test(it.error)]);
  assertEquals(items, names.map((name) => [name, name.includes("none")]));
  const numbers = "it needs \\S+ .iB in data, \\S+ .iB are free, \\S+ .iB are missing";
  assertMatch(stderr, new RegExp(`^crpe: Cannot pull 2 images, nothing was pulled: ${numbers}\n$`));
  assertEquals(upstream.requests.filter(({ path }) => layers.some((it) => path.endsWith(it))), []);
});

Deno.test("[32] save refuses an archive for which there is no room before it begins", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(`${folder.path}/data`);
  const image = buildImage({ files: [{ "a.txt": "a" }] });
  const manifest = JSON.parse(new TextDecoder().decode(image.manifests.at(-1)!.bytes));
  const layer = manifest.layers[0].digest;
  manifest.layers[0].size = 2 * (await freeBytesOf(folder.path) ?? 0);
  const bytes = new TextEncoder().encode(JSON.stringify(manifest));
  await writeImage(store, "r.test/team/app:1", image);
  const descriptor = { ...image.root, digest: await computeDigest(bytes), size: bytes.length };
  await store.writeManifest("r.test/team/app", descriptor, bytes);
  await store.tag("r.test/team/app", "1", descriptor.digest);
  // A file with a hole takes no space.
  await Deno.truncate(`${folder.path}/data/${blobPath(layer)}`, manifest.layers[0].size);
  const options = { env: { HOME: folder.path }, cwd: folder.path };
  const { code, stdout, stderr } = await runCrpe(
    ["save", "r.test/team/app:1", "-o", "out/a.tar", "--data=data"],
    options,
  );
  assertEquals([code, stdout], [1, ""], stderr);
  assertMatch(
    stderr,
    /^crpe: Cannot write out\/a.tar: it needs \S+ .iB in out, \S+ .iB are free, \S+ .iB are missing\n$/,
  );
  assertEquals(await folder.listFiles("out"), []);
});
