import { isComplete } from "../../lib/cache/completeness.ts";
import { PackageRecords } from "../../lib/install/package_records.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { idOf, makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const REPO = "registry.test/app";
const IMAGES = [1, 2].map((version) => buildImage({ files: [{ "shared.txt": "x" }, { "version.txt": `${version}` }] }));
const ROUNDS = 12;

/** Creates a folder with `1.tgz` and `2.tgz`: releases 1.0.0 and 2.0.0, with different images under the same tag. */
async function createReleases() {
  const fixture = await createPackFixture({});
  for (const [i, image] of IMAGES.entries()) {
    const version = i + 1;
    const kubepkg = makeKubePkg({ [`${REPO}:1`]: image.root.digest }, {
      version: `${version}.0.0`,
      data: { line: `${version}` },
    });
    for (const [digest, bytes] of image.blobs) {
      const expected = { mediaType: "application/octet-stream", digest, size: bytes.length };
      await fixture.store.writeBlob(REPO, expected, new Blob([bytes]).stream());
    }
    for (const { descriptor, bytes } of image.manifests) await fixture.store.writeManifest(REPO, descriptor, bytes);
    const { code, stderr } = await fixture.pack(kubepkg, `${version}`);
    assertEquals(code, 0, stderr);
  }
  return fixture;
}

Deno.test("[38] of two concurrent imports of one package the higher version wins, with its tags, manifests and record", async () => {
  await using fixture = await createReleases();
  const { folder } = fixture;
  const outcomes: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const target = `site-${round}`;
    const flags = [`--data=${target}`, `--manifests-dir=${target}/manifests`];
    await Deno.mkdir(`${folder.path}/${target}/manifests`, { recursive: true });
    const order = round % 2 === 0 ? [1, 2] : [2, 1];
    const results = await Promise.all(
      order.map(async (version) => ({ version, ...await fixture.crpe("import", `${version}.tgz`, ...flags) })),
    );
    for (const { version, code, stderr } of results) {
      if (version === 2) assertEquals(code, 0, stderr);
      else {
        assert(code === 0 || code === 3, stderr);
        outcomes.push(code);
        if (code === 3) assertStringIncludes(stderr, "2.0.0 is installed, which is higher");
      }
    }
    const data = `${folder.path}/${target}`;
    const [store, records] = [new DiskStore(data), new PackageRecords(data)];
    assertEquals((await records.read(idOf("line4")))?.spec.version, "2.0.0", `round ${round}`);
    assertEquals((await records.listHistory(idOf("line4"))).length, outcomes.at(-1) === 0 ? 1 : 0);
    const root = await store.resolve(REPO, "1");
    assertEquals(root?.digest, IMAGES[1]!.root.digest);
    assert(await isComplete(store, REPO, root!));
    assertStringIncludes(await Deno.readTextFile(`${data}/manifests/line4.yaml`), 'line: "2"');
  }
});

Deno.test("importing an installed bundle again repairs a blob, a tag or the manifests, and keeps the record and its history", async () => {
  await using fixture = await createReleases();
  const { folder } = fixture;
  const install = async (...flags: string[]) => {
    const result = await fixture.crpe("import", "1.tgz", "--data=site", "--manifests-dir=manifests", ...flags);
    assertEquals(result.code, 0, result.stderr);
    return result.stdout;
  };
  assertMatch(await install(), /^installed line4@1\.0\.0/);
  const record = await Deno.readTextFile(`${folder.path}/site/kubepkg/line4/current.json`);
  const [[layer = ""] = []] = IMAGES[0]!.blobs;
  const losses = [
    `site/docker/registry/v2/blobs/sha256/${layer.slice(7, 9)}/${layer.slice(7)}/data`,
    `site/docker/registry/v2/repositories/${REPO}/_manifests/tags/1/current/link`,
    "manifests/line4.yaml",
  ];
  for (const loss of losses) {
    const before = await Deno.readFile(`${folder.path}/${loss}`);
    await Deno.remove(`${folder.path}/${loss}`);
    assertMatch(await install("--dry-run"), /^would repair line4@1\.0\.0\n/);
    assertMatch(await install(), /^repaired line4@1\.0\.0\n/);
    assertEquals(await Deno.readFile(`${folder.path}/${loss}`), before);
    assertEquals(await install(), "line4@1.0.0 is installed already; nothing to do\n");
  }
  await Deno.remove(`${folder.path}/${losses[0]}`);
  const [repaired] = JSON.parse(await install("--json"));
  assertEquals({ verdict: repaired.verdict, isRepaired: repaired.repaired, written: repaired.blobs.written }, {
    verdict: "same",
    isRepaired: true,
    written: 1,
  });
  assertEquals(JSON.parse(await install("--json"))[0].repaired, false);
  assertEquals(await Deno.readTextFile(`${folder.path}/site/kubepkg/line4/current.json`), record);
  assertEquals(await folder.listFiles("site/kubepkg/line4/history"), []);
});

Deno.test("import goes on after a file that fails: each is named, --json is always an array, the status is the worst", async () => {
  await using fixture = await createReleases();
  await fixture.folder.write("bad.json", "{}");
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await fixture.crpe("import", ...args, "--data=site", "--json");
    return { code, stderr, document: JSON.parse(stdout) };
  };
  const failed = await run("1.tgz", "bad.json", "2.tgz");
  const reason = "Cannot read bad.json: it is not a bundle (neither gzip, zstd nor tar); crpe pack makes a bundle " +
    "of a release: crpe pack bad.json";
  assertEquals({ code: failed.code, stderr: failed.stderr }, {
    code: 4,
    stderr: `crpe: ${reason}\ncrpe: 1 of 3 failed: bad.json\n`,
  });
  const [first, second, third] = failed.document;
  assertEquals([first.file, first.imported, third.file, third.imported], ["1.tgz", true, "2.tgz", true]);
  assertEquals(second, { item: "bad.json", error: reason });

  const refused = await run("2.tgz", "1.tgz");
  assertEquals(refused.code, 3);
  assertEquals(refused.document[0].verdict, "same");
  assertEquals(refused.document[1].item, "1.tgz");
  assertEquals(refused.document.length, 2);
  const worst = await run("nowhere.tgz", "bad.json", "1.tgz");
  assertEquals(worst.code, 4);
  assertStringIncludes(worst.stderr, "crpe: 3 of 3 failed: nowhere.tgz, bad.json, 1.tgz\n");
  assertEquals((await run("bad.json")).document, [{ item: "bad.json", error: reason }]);
  assertEquals((await run("2.tgz")).document.map((it: Record<string, unknown>) => it.verdict), ["same"]);
});

Deno.test("[25] import writes a small blob anew whose partial file a power loss corrupted", async () => {
  await using fixture = await createReleases();
  const { folder, processOptions } = fixture;
  const [digest = "", bytes] = [...IMAGES[0]!.blobs][1]!;
  const partial = `ingest/${digest.replace(":", "-")}.partial`;
  for (const input of ["file", "stream"]) {
    await folder.write(`${input}/${partial}`, new Uint8Array(bytes!.length - 1));
    const args = ["--data", input];
    const stdin = await Deno.readFile(`${folder.path}/1.tgz`);
    const { code, stdout, stderr } = input === "file"
      ? await fixture.crpe("import", "1.tgz", ...args)
      : await runCrpe(["import", "-", ...args], { ...processOptions, stdin });
    assertEquals(code, 0, stderr);
    assertEquals(stdout.split("\n")[0], "installed line4@1.0.0");
    assertEquals((await fixture.crpe("verify", ...args)).code, 0);
  }
});

Deno.test("import refuses standard input as more than one bundle", async () => {
  await using fixture = await createReleases();
  const { code, stderr } = await fixture.crpe("import", "-", "1.tgz", "-", "--data=site");
  assertEquals(code, 2);
  assertStringIncludes(stderr, "Cannot import - twice");
  assertEquals(await fixture.folder.listFiles("site"), []);
});

Deno.test("import, inspect and verify name a file that is not a bundle", async () => {
  await using fixture = await createReleases();
  const { folder, crpe } = fixture;
  await folder.write("web.json", JSON.stringify(makeKubePkg({})));
  await folder.write("cut.tgz", (await Deno.readFile(`${folder.path}/1.tgz`)).subarray(0, 300));
  for (const command of ["import", "inspect", "verify"]) {
    for (const [file, reason] of [["web.json", "it is not a bundle"], ["cut.tgz", ""]]) {
      const { code, stdout, stderr } = await crpe(command, file!, ...(command === "import" ? ["--data=site"] : []));
      assertEquals({ code, stdout }, { code: 4, stdout: "" });
      assertMatch(stderr, new RegExp(`^crpe: Cannot \\w+ ${file}: ${reason}.*\n$`));
    }
  }
  const stdin = new TextEncoder().encode("no bundle");
  const { code, stderr } = await runCrpe(["import", "-", "--data=site"], { ...fixture.processOptions, stdin });
  assertEquals(code, 4);
  assertEquals(stderr.split(":")[1], " Cannot read standard input");
});

Deno.test("[78] a manifests folder that cannot be written, or does not exist, is named before anything is imported", async () => {
  await using fixture = await createReleases();
  for (
    const [folder, reason] of [
      ["1.json/manifests", "a part of the path is a file"],
      ["missing", "the folder does not exist, so no cluster reads it"],
    ]
  ) {
    for (const flags of [["--dry-run"], []]) {
      const { code, stdout, stderr } = await fixture.crpe(
        "import",
        "1.tgz",
        "--data=site",
        `--manifests-dir=${folder}`,
        ...flags,
      );
      assertEquals(code, 1);
      const start = flags.length === 0 ? "crpe: C" : "would refuse line4@1.0.0: c";
      assertStringIncludes(stdout + stderr, `${start}annot write manifests into ${folder}: ${reason}`);
      assertEquals((await fixture.folder.listFiles("site")).filter((name) => !name.endsWith(".lock")), []);
    }
  }
});

Deno.test("[77] an import leaves a foreign manifest file alone with exit status 3, also in a dry run, and names it", async () => {
  await using fixture = await createReleases();
  const path = await fixture.folder.write("manifests/line4.yaml", "kind: Theirs\n");
  for (const flags of [["--dry-run"], []]) {
    const { code, stdout, stderr } = await fixture.crpe(
      "import",
      "1.tgz",
      "--data=site",
      "--manifests-dir=manifests",
      ...flags,
    );
    assertEquals(code, 3);
    assertStringIncludes(stdout + stderr, `${await Deno.realPath(path)} was not written by crpe`);
  }
  assertEquals(await Deno.readTextFile(path), "kind: Theirs\n");
  assertEquals((await fixture.crpe("import", "1.tgz", "--data=site", "--manifests-dir=manifests", "--force")).code, 0);
});

Deno.test("[78] an import without a hand-over says that nothing was applied", async () => {
  await using fixture = await createReleases();
  const { code, stdout } = await fixture.crpe("import", "1.tgz", "--data=site");
  assertEquals(code, 0);
  assertStringIncludes(
    stdout,
    "  nothing was applied to a cluster: --manifests-dir or --kubectl hands the manifests over\n",
  );
});

Deno.test("[77] an import lists what leaves the package: deleted, or kept in its file", async () => {
  await using fixture = await createReleases();
  const claim = { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: { name: "db" } };
  const install = async (version: string, manifests: Record<string, unknown>, ...flags: string[]) => {
    const base = makeKubePkg({}, { name: "shop", version });
    const packed = await fixture.pack({ ...base, spec: { ...base.spec, manifests } }, version);
    assertEquals(packed.code, 0, packed.stderr);
    const { code, stdout, stderr } = await fixture.crpe(
      "import",
      `${version}.tgz`,
      "--data=site",
      "--manifests-dir=manifests",
      ...flags,
    );
    assertEquals(code, 0, stderr);
    return stdout.split("\n").filter((line) => /^ {2}[-+~=] /.test(line));
  };
  const config = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" } };
  assertEquals(await install("1.1.0", { claim, config }), [
    "  + ConfigMap/default/a",
    "  + PersistentVolumeClaim/default/db",
  ]);
  assertEquals(await install("1.2.0", {}), [
    "  - ConfigMap/default/a",
    "  = PersistentVolumeClaim/default/db is kept, because deleting it can delete data; --prune-data deletes it",
  ]);
  const path = `${fixture.folder.path}/manifests/shop.yaml`;
  assertStringIncludes(await Deno.readTextFile(path), "kind: PersistentVolumeClaim");
  assertEquals(await install("1.3.0", {}, "--prune-data"), ["  - PersistentVolumeClaim/default/db"]);
  assertEquals((await Deno.readTextFile(path)).includes("PersistentVolumeClaim"), false);
});
