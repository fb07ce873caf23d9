import { DiskStore } from "../../lib/store/disk_store.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeBytes } from "../support/content.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createOffice } from "../support/office.ts";

const [OLD, NEW] = ["registry.test/app:1", "registry.test/app:2"];
const base = { "base.bin": makeBytes(300_000, 3) };
const images = {
  [OLD]: buildImage({ files: [base, { "app.txt": "one" }] }),
  [NEW]: buildImage({ files: [base, { "app.txt": "two" }] }),
};

async function createDesk() {
  const office = await createOffice(images);
  const first = await office.pack(makeKubePkg({ [OLD]: "" }, { version: "1.0.0" }), "one");
  assertEquals(first.code, 0, first.stderr);
  return {
    ...office,
    packNew: (name: string, ...flags: string[]) =>
      office.pack(makeKubePkg({ [NEW]: "" }, { version: "2.0.0" }), name, ...flags),
    sizeOf: async (name: string) => (await Deno.stat(`${office.folder.path}/${name}`)).size,
    [Symbol.asyncDispose]: () => office[Symbol.asyncDispose](),
  };
}

Deno.test("pack leaves out what the site's inventory lists, or an earlier bundle carried, and says what that saved", async () => {
  await using desk = await createDesk();
  const { folder, crpe, packNew, sizeOf } = desk;
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
    const told = await packNew("delta", ...flags);
    assertEquals(told.code, 0, told.stderr);
    const { stdout } = await packNew("delta", ...flags, "--json");
    const { blobs, size } = JSON.parse(stdout);
    assert(blobs.omitted === 1 && blobs.omittedSize > 300_000, stdout);
    assertStringIncludes(told.stdout, "\nleft out, already at the site: 1 blobs, 29");
    assertEquals([size, await sizeOf("delta.tgz")], [size, size]);
    assert(size < 10_000 && await sizeOf("full.tgz") > 300_000);
    bundles.push(await Deno.readFile(`${folder.path}/delta.tgz`));
  }
  for (const bundle of bundles) assertEquals(bundle, bundles[0]);
  const imported = await crpe("import", "delta.tgz", "--data=site");
  assertEquals(imported.code, 0, imported.stderr);
  // A delta on a delta: all that its package needs is there, once it is imported.
  assertEquals((await packNew("again", "--since=delta.tgz")).code, 0);
  assert(await sizeOf("again.tgz") < await sizeOf("delta.tgz"));
  assertEquals((await crpe("import", "again.tgz", "--data=site")).code, 0);
});

Deno.test("pack says in one line what is wrong with a file of --have or --since", async () => {
  await using desk = await createDesk();
  await desk.folder.write("bad.json", '{"digests": ["sha256:12"]}');
  await desk.folder.write("empty", "");
  for (
    const [flag, status, message] of [
      ["--have=bad.json", 4, "Cannot use bad.json: digests[0]: must be sha256:<64 hex>"],
      ["--have=empty", 4, "Cannot use empty: it is empty"],
      ["--have=one.tgz", 4, "Cannot use one.tgz: line 1 does not begin with"],
      ["--have=none.json", 1, "none.json: there is no such file"],
      ["--have=office", 1, "office: it is a folder"],
      ["--since=bad.json", 4, "Cannot read bad.json: it is not a bundle"],
      ["--since=none.tgz", 1, "none.tgz: there is no such file"],
    ] as const
  ) {
    const { code, stdout, stderr } = await desk.packNew("x", flag);
    assertEquals([code, stdout, stderr.trim().split("\n").length], [status, "", 1], stderr);
    assertStringIncludes(stderr, message);
  }
  assertEquals((await desk.folder.listFiles()).filter((name) => name.includes("x.tgz")), []);
});

Deno.test("pack does not ask an upstream for what is left out", async () => {
  await using desk = await createDesk();
  await using upstream = startFaultUpstream();
  const layers = [makeBytes(200_000, 1), makeBytes(100_000, 2)];
  const added = upstream.addImage("team/web", "1", layers);
  const [kept] = added.layers;
  const kubepkg = makeKubePkg({ "up.test/team/web:1": "" });
  await desk.folder.write("have.txt", `${kept!.digest}\n`);
  await desk.folder.write("web.json", JSON.stringify(kubepkg));
  const args = ["web.json", "-o", "web.tgz", "--data=fresh", `--upstream=up.test=${upstream.url}`, "--have=have.txt"];
  const { code, stderr } = await desk.crpe("pack", ...args);
  assertEquals(code, 0, stderr);
  const blobs = upstream.requests.filter(({ kind, method }) => kind === "blob" && method === "GET");
  assertEquals(blobs.filter(({ path }) => path.endsWith(kept!.digest)), []);
  assertEquals(blobs.filter(({ path }) => path.endsWith(added.layers[1]!.digest)).length, 1);
  assertEquals(await new DiskStore(`${desk.folder.path}/fresh`).statBlob("", kept!.digest), undefined);
});
