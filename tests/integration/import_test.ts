import { isComplete } from "../../lib/cache/completeness.ts";
import { PackageRecords } from "../../lib/install/package_records.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { idOf, makeKubePkg } from "../support/kubepkg.ts";
import { createOffice } from "../support/office.ts";

const REPO = "registry.test/app";
const IMAGES = [1, 2].map((version) => buildImage({ files: [{ "shared.txt": "x" }, { "version.txt": `${version}` }] }));
const ROUNDS = 12;

/** An office with `1.tgz` and `2.tgz`, releases 1.0.0 and 2.0.0 that have other images under the same tag. */
async function createReleases() {
  const office = await createOffice({});
  for (const [i, image] of IMAGES.entries()) {
    const version = i + 1;
    const kubepkg = makeKubePkg({ [`${REPO}:1`]: image.root.digest }, {
      version: `${version}.0.0`,
      data: { line: `${version}` },
    });
    for (const [digest, bytes] of image.blobs) {
      const expected = { mediaType: "application/octet-stream", digest, size: bytes.length };
      await office.store.writeBlob(REPO, expected, new Blob([bytes]).stream());
    }
    for (const { descriptor, bytes } of image.manifests) await office.store.writeManifest(REPO, descriptor, bytes);
    const { code, stderr } = await office.pack(kubepkg, `${version}`);
    assertEquals(code, 0, stderr);
  }
  return office;
}

Deno.test("[38] of two imports at once of one package the higher version wins, with tags, manifests and record", async () => {
  await using office = await createReleases();
  const { folder } = office;
  const outcomes: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const site = `site-${round}`;
    const flags = [`--data=${site}`, `--manifests-dir=${site}/manifests`];
    await Deno.mkdir(`${folder.path}/${site}/manifests`, { recursive: true });
    const order = round % 2 === 0 ? [1, 2] : [2, 1];
    const results = await Promise.all(
      order.map(async (version) => ({ version, ...await office.crpe("import", `${version}.tgz`, ...flags) })),
    );
    for (const { version, code, stderr } of results) {
      if (version === 2) assertEquals(code, 0, stderr);
      else {
        assert(code === 0 || code === 3, stderr);
        outcomes.push(code);
        if (code === 3) assertStringIncludes(stderr, "2.0.0 is installed, which is higher");
      }
    }
    const data = `${folder.path}/${site}`;
    const [store, records] = [new DiskStore(data), new PackageRecords(data)];
    assertEquals((await records.read(idOf("line4")))?.spec.version, "2.0.0", `round ${round}`);
    assertEquals((await records.listHistory(idOf("line4"))).length, outcomes.at(-1) === 0 ? 1 : 0);
    const root = await store.resolve(REPO, "1");
    assertEquals(root?.digest, IMAGES[1]!.root.digest);
    assert(await isComplete(store, REPO, root!));
    assertStringIncludes(await Deno.readTextFile(`${data}/manifests/line4.yaml`), 'line: "2"');
  }
});

Deno.test("import again repairs: a blob, a tag, the manifests; the record and its history stay", async () => {
  await using office = await createReleases();
  const { folder } = office;
  const install = async (...flags: string[]) => {
    const result = await office.crpe("import", "1.tgz", "--data=site", "--manifests-dir=manifests", ...flags);
    assertEquals(result.code, 0, result.stderr);
    return result.stdout;
  };
  assertMatch(await install(), /^install line4@1\.0\.0/);
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
  const repaired = JSON.parse(await install("--json"));
  assertEquals([repaired.verdict, repaired.repaired, repaired.blobs.written], ["same", true, 1]);
  assertEquals(JSON.parse(await install("--json")).repaired, false);
  assertEquals(await Deno.readTextFile(`${folder.path}/site/kubepkg/line4/current.json`), record);
  assertEquals(await folder.listFiles("site/kubepkg/line4/history"), []);
});

Deno.test("import --json of several files tells what was done when one of them fails", async () => {
  await using office = await createReleases();
  await office.folder.write("bad.json", "{}");
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await office.crpe("import", ...args, "--data=site", "--json");
    return { code, stderr, document: stdout === "" ? undefined : JSON.parse(stdout) };
  };
  const failed = await run("1.tgz", "bad.json", "2.tgz");
  const reason = "Cannot read bad.json: it is not a bundle (neither gzip, zstd nor tar)";
  assertEquals([failed.code, failed.stderr], [4, `crpe: ${reason}\n`]);
  assertEquals(failed.document.length, 2);
  assertEquals([failed.document[0].file, failed.document[0].imported], ["1.tgz", true]);
  assertEquals(failed.document[1], { file: "bad.json", error: reason });

  const refused = await run("2.tgz", "1.tgz");
  assertEquals([refused.code, refused.document[0].verdict, refused.document[1].file], [3, "upgrade", "1.tgz"]);
  const absent = await run("nowhere.tgz", "1.tgz");
  assertEquals([absent.code, absent.document.length], [1, 1]);
  assertEquals((await run("bad.json")).document, undefined);
  assertEquals((await run("2.tgz")).document.verdict, "same");
});

Deno.test("[25] import of a file begins a blob anew if what a power loss left of it is wrong; of a stream it says so", async () => {
  await using office = await createReleases();
  const { folder, surroundings } = office;
  const [digest = "", bytes] = [...IMAGES[0]!.blobs][1]!;
  const partial = `ingest/${digest.replace(":", "-")}.partial`;
  for (const site of ["file", "stream"]) {
    await folder.write(`${site}/${partial}`, new Uint8Array(bytes!.length - 1));
    const args = ["--data", site];
    if (site === "stream") {
      const stdin = await Deno.readFile(`${folder.path}/1.tgz`);
      const { code, stderr } = await runCrpe(["import", "-", ...args], { ...surroundings, stdin });
      assertEquals(code, 1);
      assertMatch(
        stderr,
        /^crpe: Cannot accept \S+: .*; its first \d+ bytes were left by an interrupted import .*; import it again\n$/,
      );
    }
    const { code, stdout, stderr } = await office.crpe("import", "1.tgz", ...args);
    assertEquals([code, stdout.split("\n")[0]], [0, "install line4@1.0.0"], stderr);
    assertEquals((await office.crpe("verify", ...args)).code, 0);
  }
});

Deno.test("standard input can be one bundle only", async () => {
  await using office = await createReleases();
  const { code, stderr } = await office.crpe("import", "-", "1.tgz", "-", "--data=site");
  assertEquals(code, 2);
  assertStringIncludes(stderr, "Cannot import - twice");
  assertEquals(await office.folder.listFiles("site"), []);
});

Deno.test("every command names the file that it cannot read as a bundle", async () => {
  await using office = await createReleases();
  const { folder, crpe } = office;
  await folder.write("web.json", JSON.stringify(makeKubePkg({})));
  await folder.write("cut.tgz", (await Deno.readFile(`${folder.path}/1.tgz`)).subarray(0, 300));
  for (const command of ["import", "inspect", "verify"]) {
    for (const [file, reason] of [["web.json", "it is not a bundle"], ["cut.tgz", ""]]) {
      const { code, stdout, stderr } = await crpe(command, file!, ...(command === "import" ? ["--data=site"] : []));
      assertEquals([code, stdout], [4, ""]);
      assertMatch(stderr, new RegExp(`^crpe: Cannot \\w+ ${file}: ${reason}.*\n$`));
    }
  }
  const stdin = new TextEncoder().encode("no bundle");
  const { code, stderr } = await runCrpe(["import", "-", "--data=site"], { ...office.surroundings, stdin });
  assertEquals([code, stderr.split(":")[1]], [4, " Cannot read standard input"]);
});

Deno.test("a manifests folder that cannot be written is named before anything is imported", async () => {
  await using office = await createReleases();
  const { code, stderr } = await office.crpe("import", "1.tgz", "--data=site", "--manifests-dir=1.json/manifests");
  assertEquals(code, 1);
  assertStringIncludes(stderr, "Cannot write manifests into 1.json/manifests: a part of the path is a file");
  assertEquals((await office.folder.listFiles("site")).filter((name) => !name.endsWith(".lock")), []);
});
