import { assert, assertEquals, assertGreater, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { makeLargeLayer } from "../support/large_blob.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const MIB = 1024 * 1024;
const REPO = "registry.test/app";
const image = buildImage({ files: { "app.txt": "one" }, largeLayer: makeLargeLayer(5 * MIB) });

/** Creates a folder with the parts of a release; one large blob spans all of them. */
async function createFixture() {
  const fixture = await createPackFixture({ [`${REPO}:1`]: image });
  const packParts = async (name: string, version: string, data: Record<string, string>) => {
    const kubepkg = makeKubePkg({ [`${REPO}:1`]: "" }, { version, data });
    const { code, stderr } = await fixture.pack(kubepkg, name, "--split=2MiB");
    assertEquals(code, 0, stderr);
    const parts = (await fixture.folder.listFiles()).filter((file) => file.startsWith(`${name}.part`)).sort();
    assertEquals(parts.length, 3);
    return parts;
  };
  const parts = await packParts("app", "1.0.0", {});
  const install = (...args: string[]) => fixture.crpe("import", ...args, "--data=site", "--manifests-dir=manifests");
  return { ...fixture, packParts, parts, install, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

Deno.test("import of a part reports the part and the missing ones, and the last part installs the package", async () => {
  await using fixture = await createFixture();
  const { folder, crpe, install, parts } = fixture;
  const dry = await install(parts[2]!, "--dry-run");
  assertMatch(dry.stdout, /^would import part 3 of 3 of line4@1\.0\.0, to install; parts 1 and 2 are missing\n/);
  assertEquals((await folder.listFiles("site")).length, 0);

  const last = await install(parts[2]!);
  assertEquals(last.code, 0, last.stderr);
  assertMatch(
    last.stdout,
    /^imported part 3 of 3 of line4@1\.0\.0; parts 1 and 2 are missing\n {2}\d blobs written \(.*\), 0 already in the store\n$/,
  );
  const [again] = JSON.parse((await install(parts[2]!, "--json")).stdout);
  const { number, count, missing } = again.part;
  assertEquals({ imported: again.imported, number, count, missing, written: again.blobs.written }, {
    imported: false,
    number: 3,
    count: 3,
    missing: [1, 2],
    written: 0,
  });
  // Garbage collection keeps the content of a pending package.
  assertEquals((await crpe("gc", "--data=site", "--untagged")).code, 0);
  assertEquals(JSON.parse((await crpe("packages", "--data=site", "--json")).stdout), []);
  assertEquals(JSON.parse((await crpe("images", "--data=site", "--json")).stdout), []);
  assertEquals((await crpe("verify", "--data=site")).code, 0);
  assertEquals((await folder.listFiles("manifests")).length, 0);

  const rest = await install(parts[1]!, parts[0]!);
  assertEquals(rest.code, 0, rest.stderr);
  assertMatch(
    rest.stdout,
    /^imported part 2 of 3 of line4@1\.0\.0; part 1 is missing\n[^\n]*\ninstalled line4@1\.0\.0\n/,
  );
  assertEquals(await folder.listFiles("manifests"), ["line4.yaml"]);
  assertEquals(JSON.parse((await crpe("images", "--data=site", "--json")).stdout).length, 1);
  assertEquals((await crpe("verify", "--data=site")).code, 0);
  assertEquals((await install(parts[0]!)).stdout, "line4@1.0.0 is installed already; nothing to do\n");
  const inspected = await crpe("inspect", parts[1]!);
  assertStringIncludes(inspected.stdout, "\npart 2 of 3, with ");
  assertEquals((await crpe("verify", parts[1]!)).code, 0);
});

Deno.test("import names a foreign or damaged part, and still accepts the right one afterwards", async () => {
  await using fixture = await createFixture();
  const { folder, install, parts, packParts } = fixture;
  const alien = await packParts("alien", "1.0.0", { other: "pack" });
  assertEquals((await install(parts[0]!)).code, 0);
  const foreign = await install(alien[1]!);
  assertEquals({ code: foreign.code, stdout: foreign.stdout }, { code: 3, stdout: "" });
  assertMatch(
    foreign.stderr,
    /^crpe: Cannot import alien\.part2of3\.tgz: it is part 2 of 3 of another pack of line4@1\.0\.0 \(sha256:[0-9a-f]{64}\); part 1 .*\n$/,
  );
  const bytes = await Deno.readFile(`${folder.path}/${parts[1]}`);
  bytes[bytes.length - 1_000_000]! ^= 1;
  await folder.write("damaged.tgz", bytes);
  await folder.write("cut.tgz", bytes.subarray(0, -1_100_000));
  for (const file of ["damaged.tgz", "cut.tgz"]) {
    const { code, stderr } = await install(file);
    assertEquals(code, 4);
    assertMatch(stderr, new RegExp(`^crpe: Cannot \\w+ ${file}: .*\n$`));
  }
  const { code, stderr, stdout } = await install(parts[1]!, parts[2]!);
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "installed line4@1.0.0");
  const ingest = await folder.listFiles("site/ingest");
  assert(ingest.every((name) => name.endsWith(".lock")), ingest.join());
  assertGreater(image.largeBlobs.size, 0);
});
