import { computeDigest } from "../../lib/oci/digest.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startDistribution } from "../support/distribution.ts";
import { buildImage, buildIndex } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest, runPeer } from "../support/peers.ts";
import { pushImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const index = buildIndex(
  ["linux/amd64", "linux/arm64", "linux/arm/v7"].map((platform) => buildImage({ platform })),
  { attestation: true },
);
const single = buildImage({ files: [{ "a.txt": "a" }, { "b.txt": "b" }] });
const sha512 = buildImage({ algorithm: "sha512", files: { "c.txt": "c" } });
const INDEX = "registry.test/team/index:1.0";
const SINGLE = "registry.test/team/single:2";
const SHA512 = "other.test:5000/x:3";

function createFixture() {
  return createPackFixture({ [INDEX]: index, [SINGLE]: single, [SHA512]: sha512 });
}

peerTest(
  "an image keeps its digest when it is packed, imported and pulled",
  ["skopeo", "docker-registry"],
  async () => {
    await using fixture = await createFixture();
    await using tools = await ContainerTools.create();
    const packed = await fixture.pack(makeKubePkg({ [INDEX]: "", [SINGLE]: "", [SHA512]: "" }), "a", "--json");
    assertEquals(packed.code, 0, packed.stderr);
    const { images, tgzDigest } = JSON.parse(packed.stdout);
    assertEquals(tgzDigest, computeDigest(await Deno.readFile(`${fixture.folder.path}/a.tgz`)));
    assertEquals(images, [
      { reference: SHA512, digest: sha512.root.digest, platforms: ["linux/amd64"] },
      { reference: INDEX, digest: index.root.digest, platforms: ["linux/amd64", "linux/arm64"] },
      { reference: SINGLE, digest: single.root.digest, platforms: ["linux/amd64"] },
    ]);
    const imported = await fixture.crpe("import", "a.tgz", "--data=site", "--manifests-dir=manifests");
    assertEquals(imported.code, 0, imported.stderr);
    assertEquals(await fixture.folder.listFiles("manifests"), ["line4.yaml"]);
    assertStringIncludes(await Deno.readTextFile(`${fixture.folder.path}/manifests/line4.yaml`), "kind: ConfigMap");

    await using crpe = await startCrpe(
      ["registry", "--addr=127.0.0.1:0", "--data=site", "--offline"],
      fixture.processOptions,
    );
    const host = new URL(crpe.url).host;
    for (const [name, digest] of [[INDEX, index.root.digest], [SINGLE, single.root.digest]] as const) {
      const { stdout } = await tools.skopeo(["inspect", "--raw", `docker://${host}/${name}`]);
      assertEquals(computeDigest(stdout), digest);
      for (const architecture of name === INDEX ? ["amd64", "arm64"] : ["amd64"]) {
        const target = `${fixture.folder.path}/${digest.slice(7, 19)}-${architecture}`;
        const copied = await tools.skopeo([
          `--override-arch=${architecture}`,
          "copy",
          "--src-tls-verify=false",
          `docker://${host}/${name}`,
          `dir:${target}`,
        ]);
        assertEquals(copied.code, 0, copied.stderr);
      }
    }
    const unpacked = index.manifests[2]!.descriptor.digest;
    const absent = await fetch(`${crpe.url}/v2/${INDEX.replace(":1.0", "")}/manifests/${unpacked}`);
    assertEquals(absent.status, 404);
    assertEquals((await absent.json()).errors[0].code, "MANIFEST_UNKNOWN");
  },
);

peerTest("skopeo reads a gunzipped bundle as an OCI archive", ["skopeo", "gunzip"], async () => {
  await using fixture = await createFixture();
  await using tools = await ContainerTools.create();
  const { code, stderr } = await fixture.pack(makeKubePkg({ [INDEX]: "", [SINGLE]: "" }), "a");
  assertEquals(code, 0, stderr);
  const gunzip = await new Deno.Command("gunzip", { args: ["-k", "a.tgz"], cwd: fixture.folder.path })
    .output();
  assert(gunzip.success);
  const archive = `oci-archive:${fixture.folder.path}/a.tar`;
  for (const [tag, digest] of [["1.0", index.root.digest], ["2", single.root.digest]] as const) {
    const { code, stdout, stderr } = await tools.skopeo(["inspect", "--raw", `${archive}:${tag}`]);
    assertEquals(code, 0, stderr);
    assertEquals(computeDigest(stdout), digest);
    const target = `${fixture.folder.path}/copy-${tag}`;
    assertEquals((await tools.skopeo(["copy", `${archive}:${tag}`, `dir:${target}`])).code, 0);
  }
});

peerTest(
  "GNU tar and gzip read a bundle, whose entries have the documented order, owner and time",
  ["tar", "gzip"],
  async () => {
    await using fixture = await createFixture();
    assertEquals((await fixture.pack(makeKubePkg({ [SINGLE]: "", [SHA512]: "" }), "a")).code, 0);
    const cwd = fixture.folder.path;
    assert((await new Deno.Command("gzip", { args: ["-t", "a.tgz"], cwd }).output()).success);
    const { code, stdout, stderr } = await runPeer("tar", ["tvzf", `${cwd}/a.tgz`, "--utc", "--full-time"]);
    assertEquals({ code, stderr }, { code: 0, stderr: "" });
    const lines = stdout.trim().split("\n");
    for (const line of lines) assertMatch(line, /^-rw-r--r-- 0\/0 +\d+ 1970-01-01 00:00:00 /);
    const names = lines.map((line) => line.split(" ").at(-1)!);
    assertEquals(names.slice(0, 3), ["kubepkg.json", "oci-layout", "index.json"]);
    for (const image of [sha512, single]) {
      const at = (digest: string) => names.indexOf(`blobs/${digest.replace(":", "/")}`);
      for (const digest of image.blobs.keys()) assert(at(digest) > 0 && at(digest) < at(image.root.digest), digest);
    }
    assertEquals(new Set(names).size, names.length);
  },
);

Deno.test("pack writes the same bytes for the same input, from JSON, YAML and standard input", async () => {
  await using fixture = await createFixture();
  const kubepkg = makeKubePkg({ [INDEX]: "", [SINGLE]: "" });
  for (const name of ["a", "b"]) assertEquals((await fixture.pack(kubepkg, name)).code, 0);
  await fixture.folder.write(
    "c.yaml",
    [
      "apiVersion: octohelm.tech/v1alpha1",
      "kind: KubePkg",
      "metadata: {name: line4}",
      "spec:",
      '  version: "1.0.0"',
      "  images:",
      `    "${INDEX}": ""`,
      `    "${SINGLE}": ""`,
      "  manifests:",
      "    web.default.configmap:",
      "      apiVersion: v1",
      "      kind: ConfigMap",
      "      metadata: {name: web, namespace: default}",
      '      data: {line: "4"}',
    ].join("\n"),
  );
  const fromYaml = await fixture.crpe("pack", "c.yaml", "-o", "c.tgz", "--data=source", "--offline");
  assertEquals(fromYaml.code, 0, fromYaml.stderr);
  const stdin = new TextEncoder().encode(JSON.stringify(kubepkg));
  const { code } = await runCrpe(["pack", "-", "--data=source", "--offline"], {
    ...fixture.processOptions,
    stdin,
  });
  assertEquals(code, 0);
  const digests = await Promise.all(
    ["a.tgz", "b.tgz", "c.tgz", "line4@1.0.0.tgz"].map(async (name) =>
      computeDigest(await Deno.readFile(`${fixture.folder.path}/${name}`))
    ),
  );
  assertEquals(new Set(digests).size, 1, digests.join("\n"));
});

Deno.test("pack reads a KubePkg from a URL", async () => {
  await using fixture = await createFixture();
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    ({ url }) =>
      url.endsWith("/a.json") ? Response.json(makeKubePkg({ [SINGLE]: "" })) : new Response("", { status: 404 }),
  );
  const base = `http://127.0.0.1:${server.addr.port}`;
  const { code, stderr } = await fixture.crpe("pack", `${base}/a.json`, "-o", "a.tgz", "--data=source", "--offline");
  assertEquals(code, 0, stderr);
  const absent = await fixture.crpe("pack", `${base}/b.json`, "--data=source", "--offline");
  assertEquals(absent.code, 1);
  assertStringIncludes(absent.stderr, `Cannot read ${base}/b.json: it answered 404`);
});

peerTest(
  "pack pulls missing content, and resolves no tag whose digest is given",
  ["docker-registry"],
  async () => {
    await using fixture = await createFixture();
    await using distribution = await startDistribution();
    await pushImage(distribution.url, "new/app:1", { image: index });
    await fixture.folder.write(
      "a.json",
      JSON.stringify(makeKubePkg({ "up.test/new/app:no-such-tag": index.root.digest })),
    );
    const { code, stderr } = await fixture.crpe(
      "pack",
      "a.json",
      "-o",
      "a.tgz",
      "--data=source",
      `--upstream=up.test=${distribution.url}`,
      "--platform=linux/arm/v7",
    );
    assertEquals(code, 0, stderr);
    assertEquals(distribution.log().includes("no-such-tag"), false);
    const inspected = JSON.parse((await fixture.crpe("inspect", "a.tgz", "--json")).stdout);
    assertEquals(inspected.platforms, ["linux/arm/v7"]);
    assertEquals(inspected.images[0].digest, index.root.digest);
  },
);

Deno.test("pack names a platform that an image does not have, and those that it has", async () => {
  await using fixture = await createFixture();
  const { code, stderr } = await fixture.pack(
    makeKubePkg({ [INDEX]: "" }),
    "a",
    "--platform=linux/arm64,linux/riscv64",
  );
  assertEquals(code, 1);
  assertStringIncludes(stderr, INDEX);
  assertStringIncludes(stderr, "linux/riscv64");
  assertStringIncludes(stderr, "linux/amd64, linux/arm/v7, linux/arm64");
  assertEquals((await fixture.folder.listFiles()).filter((name) => name.includes("tgz")), []);
});

Deno.test("import installs an upgrade, skips the same version, and refuses a downgrade and changed content", async () => {
  await using fixture = await createFixture();
  const images = { [SINGLE]: "" };
  await fixture.pack(makeKubePkg(images, { version: "1.0.0" }), "v1");
  await fixture.pack(makeKubePkg(images, { version: "1.1.0", data: { line: "5" } }), "v2");
  await fixture.pack(makeKubePkg(images, { version: "1.1.0", data: { line: "6" } }), "v2-changed");
  const steps: [string, string[], number, RegExp][] = [
    ["v1", ["--dry-run"], 0, /^would install line4@1\.0\.0/],
    ["v1", [], 0, /^installed line4@1\.0\.0/],
    ["v1", [], 0, /installed already; nothing to do/],
    ["v2", ["--dry-run"], 0, /^would upgrade line4@1\.1\.0 from 1\.0\.0\n[^]*~ ConfigMap\/default\/web/],
    ["v2", [], 0, /^upgraded line4@1\.1\.0 from 1\.0\.0/],
    ["v1", [], 3, /1\.1\.0 is installed, which is higher/],
    ["v2-changed", [], 3, /installed with other content/],
    ["v2-changed", ["--force"], 0, /^replaced line4@1\.1\.0/],
    ["v1", ["--force"], 0, /^downgraded line4@1\.0\.0 from 1\.1\.0/],
  ];
  for (const [bundle, flags, status, expected] of steps) {
    const { code, stdout, stderr } = await fixture.crpe("import", `${bundle}.tgz`, "--data=site", ...flags);
    assertEquals(code, status, `${bundle} ${flags}: ${stderr}`);
    assertMatch(stdout + stderr, expected);
  }
  const packages = JSON.parse((await fixture.crpe("packages", "--data=site", "--json")).stdout);
  assertEquals(packages.map((it: { spec: { version: string } }) => it.spec.version), ["1.0.0"]);
  assertEquals((await fixture.folder.listFiles("site/kubepkg/line4/history")).length, 3);
});

Deno.test("import - reads standard input, and --json reports in one document", async () => {
  await using fixture = await createFixture();
  await fixture.pack(makeKubePkg({ [SINGLE]: "" }), "a");
  const { code, stdout } = await runCrpe(["import", "-", "--data=site", "--json"], {
    ...fixture.processOptions,
    stdin: await Deno.readFile(`${fixture.folder.path}/a.tgz`),
  });
  const [{ verdict, imported, images, blobs }] = JSON.parse(stdout);
  assertEquals({ code, verdict, imported }, { code: 0, verdict: "install", imported: true });
  assertEquals(images, [{ reference: SINGLE, digest: single.root.digest, platforms: ["linux/amd64"] }]);
  assertEquals(blobs.written, 4);
});

for (const compression of ["gzip -9", "zstd", "none"]) {
  const peers = compression === "zstd" ? ["tar" as const, "zstd" as const] : ["tar" as const];
  peerTest(`import reads a bundle of the earlier generation (tar with ${compression})`, peers, async () => {
    await using fixture = await createFixture();
    await using folder = await TestFolder.create();
    const digests = [...single.manifests.map(({ descriptor }) => descriptor.digest), ...single.blobs.keys()];
    await folder.write("kubepkg.json", JSON.stringify(makeKubePkg({ [SINGLE]: single.root.digest })));
    for (const { descriptor, bytes } of single.manifests) {
      await folder.write(`blobs/${descriptor.digest.replace(":", "/")}`, bytes);
    }
    for (const [digest, bytes] of single.blobs) await folder.write(`blobs/${digest.replace(":", "/")}`, bytes);
    const flags = compression === "none" ? [] : ["-I", compression];
    const packed = await runPeer("tar", ["cf", "old.tgz", ...flags, "kubepkg.json", "blobs"], { cwd: folder.path });
    assertEquals(packed.code, 0, packed.stderr);
    const { code, stderr } = await fixture.crpe("import", `${folder.path}/old.tgz`, "--data=site");
    assertEquals(code, 0, stderr);
    const images = JSON.parse((await fixture.crpe("images", "--data=site", "--json")).stdout);
    const { reference, digest, isComplete } = images[0];
    assertEquals({ reference, digest, isComplete }, {
      reference: SINGLE,
      digest: single.root.digest,
      isComplete: true,
    });
    assertEquals(digests.length, 4);
  });
}

Deno.test("[27] import removes old temporary files of a killed import, and keeps recent ones", async () => {
  await using fixture = await createFixture();
  await fixture.pack(makeKubePkg({ [SINGLE]: "" }), "a");
  const [old, young] = [await fixture.folder.write("site/ingest/old.tmp", "x"), "site/ingest/young.tmp"];
  await fixture.folder.write(young, "x");
  await Deno.utime(old, 1000, 1000);
  assertEquals((await fixture.crpe("import", "a.tgz", "--data=site")).code, 0);
  const left = (await fixture.folder.listFiles("site/ingest")).filter((name) => name.endsWith(".tmp"));
  assertEquals(left, ["young.tmp"]);
});
