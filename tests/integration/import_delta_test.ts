import { isComplete } from "../../lib/cache/completeness.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { copyFolder } from "../support/copy_folder.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { makeLargeLayer } from "../support/large_blob.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const MIB = 1024 * 1024;
const [OLD, NEW] = ["registry.test/app:1", "registry.test/app:2"];
const REPO = "registry.test/app";
const largeLayer = makeLargeLayer(64 * MIB);
const images = {
  [OLD]: buildImage({ files: { "app.txt": "one" }, largeLayer }),
  [NEW]: buildImage({ files: { "app.txt": "two" }, largeLayer }),
};

/** Creates a folder with `one.tgz`, `two.tgz`, and `delta.tgz`: the second release without the blobs of the first. */
async function createFixture() {
  const fixture = await createPackFixture(images);
  const releases = [
    ["one", OLD, "1.0.0"],
    ["two", NEW, "2.0.0"],
    ["delta", NEW, "2.0.0", "--since=one.tgz"],
  ] as const;
  for (const [name, image, version, ...flags] of releases) {
    const data = { version };
    const { code, stderr } = await fixture.pack(makeKubePkg({ [image]: "" }, { version, data }), name, ...flags);
    assertEquals(code, 0, stderr);
  }
  return fixture;
}

Deno.test("a delta that changes one small layer has under 1 % of the full size, and imports as an upgrade", async () => {
  await using fixture = await createFixture();
  const { crpe, folder } = fixture;
  const sizeOf = async (name: string) => (await Deno.stat(`${folder.path}/${name}`)).size;
  assertLess(await sizeOf("delta.tgz"), await sizeOf("two.tgz") / 100);
  const flags = ["--data=site", "--manifests-dir=manifests"];
  assertEquals((await crpe("import", "one.tgz", ...flags)).code, 0);
  const before = await folder.listFiles("site/docker");

  const dry = await crpe("import", "delta.tgz", ...flags, "--dry-run");
  assertEquals(dry.code, 0, dry.stderr);
  assertMatch(dry.stdout, /^would upgrade line4@2\.0\.0 from 1\.0\.0\n/);
  assertMatch(
    dry.stdout,
    /\n {2}~ ConfigMap\/default\/web\n {2}3 blobs to write \(.*\), 1 already in the store\n {2}\S+ [MGT]iB free\n {2}nothing was written; .*\n$/,
  );
  assertEquals(await folder.listFiles("site/docker"), before);

  await copyFolder(`${folder.path}/site`, `${folder.path}/other`);
  assertMatch(
    (await crpe("import", "delta.tgz", "--data=other")).stdout,
    /^upgraded line4@2\.0\.0 from 1\.0\.0\n(?: .*\n)* {2}3 blobs written \(.*\), 1 already in the store\n/,
  );

  const { code, stdout, stderr } = await crpe("import", "delta.tgz", ...flags, "--json");
  assertEquals(code, 0, stderr);
  const [{ verdict, blobs, imported }] = JSON.parse(stdout);
  assertEquals({ verdict, imported, written: blobs.written, held: blobs.held }, {
    verdict: "upgrade",
    imported: true,
    written: 3,
    held: 1,
  });
  const site = new DiskStore(`${folder.path}/site`);
  for (const [reference, { root }] of Object.entries(images)) {
    assertEquals((await site.resolve(REPO, reference.slice(-1)))?.digest, root.digest);
    assert(await isComplete(site, REPO, root));
  }
  assertEquals((await crpe("verify", "--data=site")).code, 0);
});

Deno.test("import refuses a delta without its base before anything is written, naming blobs and images", async () => {
  await using fixture = await createFixture();
  const { crpe, folder } = fixture;
  const digest = largeLayer.digest;
  const reason =
    `Cannot import line4@2.0.0: a blob is neither in the bundle nor in the store, needed by ${NEW}: ${digest}`;
  const refused = await crpe("import", "delta.tgz", "--data=site", "--manifests-dir=manifests");
  assertEquals({ code: refused.code, stdout: refused.stdout }, { code: 1, stdout: "" });
  assertStringIncludes(refused.stderr, reason);
  assertEquals((await folder.listFiles("site")).filter((name) => !name.endsWith(".lock")), []);

  const dry = await crpe("import", "delta.tgz", "--data=nowhere", "--dry-run");
  assertEquals(dry.code, 1);
  assertStringIncludes(dry.stdout, `  missing: ${digest} (64 MiB), needed by ${NEW}\n`);
  const [, planned] = /^would refuse line4@2\.0\.0: (.*)$/m.exec(dry.stdout) ?? [];
  assertEquals([`Cannot import line4@2.0.0: ${planned}`.startsWith(reason), dry.stderr], [true, ""]);
  const json = await crpe("import", "delta.tgz", "--data=nowhere", "--dry-run", "--json");
  const [{ error, blobs, freeBytes, manifests, dryRun, imported }] = JSON.parse(json.stdout);
  assertEquals({ code: json.code, stderr: json.stderr }, { code: 1, stderr: `crpe: ${error}\n` });
  assertStringIncludes(error, reason);
  assertEquals({ dryRun, imported, manifests }, {
    dryRun: true,
    imported: false,
    manifests: { added: ["ConfigMap/default/web"], changed: [], removed: [], kept: [] },
  });
  assertEquals(blobs.missing, [{ digest, size: largeLayer.size, images: [NEW] }]);
  assert(Number.isSafeInteger(freeBytes));
  assertEquals(await folder.listFiles("nowhere"), []);
});

Deno.test("import --dry-run of a downgrade reports the plan, and is refused like the import", async () => {
  await using fixture = await createFixture();
  const { crpe, folder } = fixture;
  assertEquals((await crpe("import", "two.tgz", "--data=site")).code, 0);
  // A dry run reads only the first entry.
  await folder.write("cut.tgz", (await Deno.readFile(`${folder.path}/one.tgz`)).subarray(0, 100_000));
  for (const flags of [["--dry-run"], ["--dry-run", "--json"]]) {
    const { code, stdout, stderr } = await crpe("import", "cut.tgz", "--data=site", ...flags);
    assertEquals(code, 3);
    // The plan has the reason already.
    const message = "crpe: Cannot import line4@1.0.0: 2.0.0 is installed, which is higher; --force allows it\n";
    assertEquals(stderr, flags.length === 1 ? "" : message);
    if (flags.length === 1) assertMatch(stdout, /^would refuse line4@1\.0\.0: 2\.0\.0 is installed, which is higher/);
    else {assertEquals(
        JSON.parse(stdout).flatMap((
          { verdict, blobs }: { verdict: string; blobs: { toWrite: number } },
        ) => [verdict, blobs.toWrite]),
        ["downgrade", 3],
      );}
  }
  const forced = await crpe("import", "cut.tgz", "--data=site", "--dry-run", "--force");
  assertEquals(forced.code, 0, forced.stderr);
  const several = await crpe("import", "two.tgz", "cut.tgz", "--data=site", "--dry-run", "--json");
  const verdicts = JSON.parse(several.stdout).map(({ verdict }: { verdict: string }) => verdict);
  assertEquals(several.code, 3);
  assertEquals(verdicts, ["same", "downgrade"]);
});
