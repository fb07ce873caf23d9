import { DiskStore } from "../../../lib/store/disk_store.ts";
import { blobPath, layerLinkPath, revisionLinkPath, tagLinkPath } from "../../../lib/store/layout.ts";
import { repairLink, verifyLinks } from "../../../lib/store/verify_links.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeBlob, makeManifest, streamOf, UNKNOWN_DIGEST } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const [config, layer] = [makeBlob(100, 1), makeBlob(2000, 2)];
const manifest = makeManifest(config, [layer]);
const { digest } = manifest.descriptor;
const TAG = tagLinkPath(REPO, "1");
const REVISION = revisionLinkPath(REPO, digest);
const LAYER = layerLinkPath(REPO, layer.descriptor.digest);

async function openStore() {
  const folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  for (const { descriptor, bytes } of [config, layer]) await store.writeBlob(REPO, descriptor, streamOf(bytes));
  await store.writeManifest(REPO, manifest.descriptor, manifest.bytes);
  await store.tag(REPO, "1", digest);
  return folder;
}

interface Damage {
  readonly what: string;
  readonly path: string;
  readonly text: string;
  readonly reason: string;
}
const damages: Damage[] = [
  { what: "an empty link of a tag", path: TAG, text: "", reason: "it does not contain a digest" },
  { what: "a torn link of a tag", path: TAG, text: digest.slice(0, 40), reason: "it does not contain a digest" },
  { what: "an empty link of a manifest", path: REVISION, text: "", reason: "it does not contain a digest" },
  { what: "another digest", path: REVISION, text: UNKNOWN_DIGEST, reason: `it contains ${UNKNOWN_DIGEST}` },
  { what: "a torn link of a layer", path: LAYER, text: "sha256:", reason: "it does not contain a digest" },
];
for (const { what, path, text, reason } of damages) {
  Deno.test(`[91] verifyLinks() finds ${what}, and repairLink() rebuilds it`, async () => {
    await using folder = await openStore();
    assertEquals(await verifyLinks(folder.path), []);
    const before = await Deno.readTextFile(`${folder.path}/${path}`);
    await Deno.writeTextFile(`${folder.path}/${path}`, text);
    const [link, ...others] = await verifyLinks(folder.path);
    assertEquals({ path: link?.path, reason: link?.reason, others }, { path, reason, others: [] });
    assertEquals(link!.image, path === TAG ? `${REPO}:1` : REPO);
    assertEquals(await repairLink(folder.path, link!), "rebuilt");
    assertEquals(await Deno.readTextFile(`${folder.path}/${path}`), before);
    assertEquals(await verifyLinks(folder.path), []);
  });
}

Deno.test("[91] repairLink() rebuilds a tag from the newest manifest of its history that exists", async () => {
  await using folder = await openStore();
  const [second, third] = [makeManifest(config, []), makeManifest(layer, [])];
  const store = new DiskStore(folder.path);
  for (const next of [second, third]) {
    await store.writeManifest(REPO, next.descriptor, next.bytes);
    await store.tag(REPO, "1", next.descriptor.digest);
  }
  const index = `${folder.path}/docker/registry/v2/repositories/${REPO}/_manifests/tags/1/index`;
  const order = [digest, second.descriptor.digest, third.descriptor.digest];
  for (const [i, each] of order.entries()) await Deno.utime(`${index}/${each.replace(":", "/")}/link`, i, i);
  await Deno.remove(`${folder.path}/${blobPath(third.descriptor.digest)}`);
  await Deno.writeTextFile(`${folder.path}/${TAG}`, "");
  const link = (await verifyLinks(folder.path)).find(({ path }) => path === TAG)!;
  await repairLink(folder.path, link);
  assertEquals(await Deno.readTextFile(`${folder.path}/${TAG}`), second.descriptor.digest);
});

Deno.test("[91] repairLink() removes a torn tag without a history", async () => {
  await using folder = await openStore();
  await Deno.remove(`${folder.path}/docker/registry/v2/repositories/${REPO}/_manifests/tags/1/index`, {
    recursive: true,
  });
  await Deno.writeTextFile(`${folder.path}/${TAG}`, "");
  const [link] = await verifyLinks(folder.path);
  assertEquals(await repairLink(folder.path, link!), "removed");
  assertEquals(await verifyLinks(folder.path), []);
  assertEquals(await new DiskStore(folder.path).resolve(REPO, "1"), undefined);
});

Deno.test("[91] repairLink() leaves a tag alone that a server has set since it was verified", async () => {
  await using folder = await openStore();
  await Deno.writeTextFile(`${folder.path}/${TAG}`, "");
  const [link] = await verifyLinks(folder.path);
  const store = new DiskStore(folder.path);
  const next = makeManifest(config, []);
  await store.writeManifest(REPO, next.descriptor, next.bytes);
  await store.tag(REPO, "1", next.descriptor.digest);
  assertEquals(await repairLink(folder.path, link!), "rebuilt");
  assertEquals((await store.resolve(REPO, "1"))?.digest, next.descriptor.digest);
});

Deno.test("[91] verifyLinks() names the tag and the repository whose manifest is missing, but no missing layer", async () => {
  await using folder = await openStore();
  await Deno.remove(`${folder.path}/${blobPath(layer.descriptor.digest)}`);
  assertEquals(await verifyLinks(folder.path), []);
  await Deno.remove(`${folder.path}/${blobPath(digest)}`);
  const links = await verifyLinks(folder.path);
  assertEquals(links.map(({ path, image, isManifestMissing }) => [path, image, isManifestMissing]), [
    [TAG, `${REPO}:1`, true],
    [REVISION, REPO, true],
  ]);
});

Deno.test("[65] [91] verifyLinks() reports a symbolic link, and does not follow it", async () => {
  await using folder = await openStore();
  await folder.write("elsewhere", digest);
  await Deno.remove(`${folder.path}/${TAG}`);
  await Deno.symlink(`${folder.path}/elsewhere`, `${folder.path}/${TAG}`);
  const [link] = await verifyLinks(folder.path);
  assertEquals(link?.reason, "it is not a regular file");
});
