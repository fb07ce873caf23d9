import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { until } from "../support/cache_fixture.ts";
import { makeBytes } from "../support/content.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const KIB = 1024;
const RECORD = "site/kubepkg/line4/current.json";

/** A site with two packages, `line4` and `web`, whose images share nothing. The record of `line4` is cut in its half. */
async function createSite() {
  const images = {
    "registry.test/line4:1": buildImage({ files: { a: makeBytes(200 * KIB, 1) } }),
    "registry.test/web:1": buildImage({ files: { a: makeBytes(200 * KIB, 2) } }),
  };
  const site = await createPackFixture(images);
  for (const name of ["line4", "web"]) {
    const image = `registry.test/${name}:1`;
    assertEquals((await site.pack(makeKubePkg({ [image]: "" }, { name, data: { a: name } }), name)).code, 0);
    assertEquals((await site.crpe("import", `${name}.tgz`, "--data=site", "--manifests-dir=manifests")).code, 0);
  }
  const text = await Deno.readTextFile(`${site.folder.path}/${RECORD}`);
  await site.folder.write(RECORD, text.slice(0, text.length / 2));
  return site;
}

Deno.test("[92] with a damaged record, gc, lists, imports and removals of other packages go on; it is named", async () => {
  await using site = await createSite();
  const crpe = (...args: string[]) => site.crpe(...args, "--data=site");
  const listed = await crpe("packages");
  assertMatch(listed.stdout, /^web +1\.0\.0[^]*^line4 +\(unreadable\)/m);
  assertStringIncludes(listed.stderr, RECORD);
  await site.folder.write(
    `site/docker/registry/v2/blobs/sha256/00/${"0".repeat(64)}/data`,
    "garbage that nothing refers to",
  );
  const collected = await crpe("gc", "--untagged");
  assertEquals([collected.code, collected.stdout.split("\n")[0]], [
    0,
    "removed 1 blob (30 B), 0 manifests, 0 links",
  ]);
  assertStringIncludes(collected.stderr, RECORD);
  assertEquals((await crpe("import", "web.tgz", "--force", "--manifests-dir=manifests")).code, 0);
  const removed = await crpe("packages", "remove", "web", "--forget");
  assertEquals([removed.code, removed.stdout.includes("registry.test/web:1")], [0, true]);
  assertMatch((await crpe("gc", "--untagged")).stdout, /^removed [3-9] blobs/);
  const verified = await crpe("verify");
  assertEquals(verified.code, 4);
  assertStringIncludes(verified.stdout, RECORD);
  // The images of the damaged package are all there: the import of its bundle writes no blob.
  const repaired = await crpe("import", "line4.tgz", "--force", "--manifests-dir=manifests", "--json");
  assertEquals([repaired.code, JSON.parse(repaired.stdout)[0].blobs.bytesWritten], [0, 0], repaired.stderr);
  assertEquals((await crpe("verify")).code, 0);
});

Deno.test("[92][39] with a damaged record, eviction goes on, keeps the images that it still names, and names it once", async () => {
  await using site = await createSite();
  await using upstream = startFaultUpstream();
  for (let i = 0; i < 6; i++) upstream.addImage(`team/app${i}`, "1", [makeBytes(200 * KIB, 10 + i)]);
  await using registry = await startCrpe([
    "registry",
    "--addr=127.0.0.1:0",
    "--data=site",
    "--cache-max=1MiB",
    `--upstream=r.test=${upstream.url}`,
  ], site.processOptions);
  const pull = async (name: string) => {
    const manifest = await fetch(`${registry.url}/v2/${name}/manifests/1`);
    const { layers = [] } = await manifest.json();
    for (const { digest } of layers) {
      assertEquals(
        (await (await fetch(`${registry.url}/v2/${name}/blobs/${digest}`)).arrayBuffer()).byteLength > 0,
        true,
      );
    }
    return manifest.status;
  };
  for (let i = 0; i < 6; i++) assertEquals(await pull(`r.test/team/app${i}`), 200);
  await until("an image is evicted", async () => {
    const metrics = await (await fetch(`${registry.url}/metrics`)).text();
    return /^crpe_evict\w+_total(?:\{[^}]*\})? [1-9]/m.test(metrics);
  });
  assertEquals([await pull("registry.test/line4"), await pull("registry.test/web")], [200, 200]);
  assertEquals(registry.log().split("\n").filter((line) => line.includes(RECORD)).length, 1, registry.log());
});
