import { DiskStore } from "../../lib/store/disk_store.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeBytes } from "../support/content.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const [OLD, NEW] = ["registry.test/app:1", "registry.test/app:2"];
const base = { "base.bin": makeBytes(300_000, 3) };
const images = {
  [OLD]: buildImage({ files: [base, { "app.txt": "one" }] }),
  [NEW]: buildImage({ files: [base, { "app.txt": "two" }] }),
};

async function createFixture() {
  const fixture = await createPackFixture(images);
  const first = await fixture.pack(makeKubePkg({ [OLD]: "" }, { version: "1.0.0" }), "one");
  assertEquals(first.code, 0, first.stderr);
  return {
    ...fixture,
    packNew: (name: string, ...flags: string[]) =>
      fixture.pack(makeKubePkg({ [NEW]: "" }, { version: "2.0.0" }), name, ...flags),
    sizeOf: async (name: string) => (await Deno.stat(`${fixture.folder.path}/${name}`)).size,
    [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
  };
}

Deno.test("pack leaves out the blobs of the site's inventory or of an earlier bundle, and reports what that saved", async () => {
  await using fixture = await createFixture();
  const { folder, crpe, packNew, sizeOf } = fixture;
  assertEquals((await crpe("import", "one.tgz", "--data=site")).code, 0);
  const inventory = await crpe("inventory", "--data=site");
  await folder.write("have.json", inventory.stdout);
  const digests = JSON.parse(inventory.stdout).digests as string[];
  await folder.write("have.txt", digests.map((digest) => `${digest}  # of the site\r\n`).join(""));

  assertEquals((await packNew("full")).code, 0);
  assertStringIncludes((await packNew("full")).stdout, "full.tgz  ");
  const bundles: Uint8Array[] = [];
  for (
    const flags of [
      ["--have=have.json"],
      ["--have=have.txt"],
      ["--since=one.tgz"],
      ["--have=have.json", "--have=have.txt", "--since=one.tgz", "--since=one.tgz"],
    ]
  ) {
    const report = await packNew("delta", ...flags);
    assertEquals(report.code, 0, report.stderr);
    const { stdout } = await packNew("delta", ...flags, "--json");
    const { blobs, size } = JSON.parse(stdout);
    assert(blobs.omitted === 1 && blobs.omittedSize > 300_000, stdout);
    assertStringIncludes(report.stdout, "\nleft out, already at the site: 1 blob, 29");
    assertEquals(await sizeOf("delta.tgz"), size);
    assert(size < 10_000 && await sizeOf("full.tgz") > 300_000);
    bundles.push(await Deno.readFile(`${folder.path}/delta.tgz`));
  }
  for (const bundle of bundles) assertEquals(bundle, bundles[0]);
  const imported = await crpe("import", "delta.tgz", "--data=site");
  assertEquals(imported.code, 0, imported.stderr);
  // A delta of a delta: once the first is imported, the site holds everything that its package needs.
  assertEquals((await packNew("again", "--since=delta.tgz")).code, 0);
  assert(await sizeOf("again.tgz") < await sizeOf("delta.tgz"));
  assertEquals((await crpe("import", "again.tgz", "--data=site")).code, 0);
});

Deno.test("pack reports a wrong --have or --since file in one line", async () => {
  await using fixture = await createFixture();
  await fixture.folder.write("bad.json", '{"digests": ["sha256:12"]}');
  await fixture.folder.write("empty", "");
  for (
    const [flag, status, message] of [
      ["--have=bad.json", 4, "Cannot use bad.json: digests[0]: must be sha256:<64 hex>"],
      ["--have=empty", 4, "Cannot use empty: it is empty"],
      ["--have=one.tgz", 4, "Cannot use one.tgz: line 1 does not begin with"],
      ["--have=none.json", 1, "none.json: there is no such file"],
      ["--have=source", 1, "source: it is a folder"],
      ["--since=bad.json", 4, "Cannot read bad.json: it is not a bundle"],
      ["--since=none.tgz", 1, "none.tgz: there is no such file"],
    ] as const
  ) {
    const { code, stdout, stderr } = await fixture.packNew("x", flag);
    assertEquals({ code, stdout, lines: stderr.trim().split("\n").length }, { code: status, stdout: "", lines: 1 });
    assertStringIncludes(stderr, message);
  }
  assertEquals((await fixture.folder.listFiles()).filter((name) => name.includes("x.tgz")), []);
});

Deno.test("pack does not fetch excluded blobs from the upstream", async () => {
  await using fixture = await createFixture();
  await using upstream = startFaultUpstream();
  const layers = [makeBytes(200_000, 1), makeBytes(100_000, 2)];
  const added = upstream.addImage("team/web", "1", layers);
  const [kept] = added.layers;
  const kubepkg = makeKubePkg({ "up.test/team/web:1": "" });
  await fixture.folder.write("have.txt", `${kept!.digest}\n`);
  await fixture.folder.write("web.json", JSON.stringify(kubepkg));
  const args = ["web.json", "-o", "web.tgz", "--data=fresh", `--upstream=up.test=${upstream.url}`, "--have=have.txt"];
  const { code, stderr } = await fixture.crpe("pack", ...args);
  assertEquals(code, 0, stderr);
  const blobs = upstream.requests.filter(({ kind, method }) => kind === "blob" && method === "GET");
  assertEquals(blobs.filter(({ path }) => path.endsWith(kept!.digest)), []);
  assertEquals(blobs.filter(({ path }) => path.endsWith(added.layers[1]!.digest)).length, 1);
  assertEquals(await new DiskStore(`${fixture.folder.path}/fresh`).statBlob("", kept!.digest), undefined);
});
