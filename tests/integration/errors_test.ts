import { DiskStore } from "../../lib/store/disk_store.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { makeLargeLayer } from "../support/large_blob.ts";
import { mountSmall } from "../support/mount.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";
import { writeImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const IMAGE = "registry.test/app:1";
const image = buildImage();

/**
 * Checks that standard error has one line, which begins with `crpe: Cannot `, and standard output nothing. The warning
 * that the data folder does not exist may come before it.
 */
function assertOneLine(result: { stdout: string; stderr: string }, ...parts: string[]): void {
  assertEquals(result.stdout, "");
  const stderr = result.stderr.replace(/^crpe: warning: the data folder data does not exist[;,] .*\n/, "");
  assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
  for (const part of ["crpe: Cannot ", ...parts]) assertStringIncludes(stderr, part);
}

const bad: [string, string, string[], number, string[]][] = [
  ["a missing KubePkg", "", ["pack", "nowhere.json"], 1, ["nowhere.json", "no such file"]],
  ["an image in the place of a KubePkg", "", ["pack", "team/web:1.0"], 1, ["no such file", "spec.images", "crpe save"]],
  ["a KubePkg at a closed port", "", ["pack", "http://127.0.0.1:2/x.json"], 1, [
    "Cannot read http://127.0.0.1:2/x.json: the connection was refused",
  ]],
  ["a missing bundle", "", ["import", "nowhere.tgz"], 1, ["nowhere.tgz", "no such file"]],
  ["a folder in place of a bundle", "", ["import", "."], 1, ["folder"]],
  ["JSON that is cut off", '{"apiVersion": "octo', ["pack", "input"], 4, ["input"]],
  [
    "a missing field",
    '{"apiVersion":"octohelm.tech/v1alpha1","kind":"KubePkg","metadata":{"name":"a"}}',
    ["pack", "input"],
    4,
    ["spec", "is missing"],
  ],
  ["[52] a package name that is a path", JSON.stringify(makeKubePkg({}, { name: "../../x" })), ["pack", "input"], 4, [
    "metadata.name",
  ]],
  ["an invalid image name", JSON.stringify(makeKubePkg({ "a b": "" })), ["pack", "input"], 4, ["a b"]],
  ["an unknown image", JSON.stringify(makeKubePkg({ "registry.test/none:1": "" })), ["pack", "input"], 1, [
    "registry.test/none:1",
    "not found",
  ]],
  ["[48] a bundle that is cut off", "\x1f\x8b", ["import", "input"], 4, []],
  ["a file that is not a bundle", "hello", ["import", "input"], 4, []],
  ["an empty bundle", "", ["inspect", "input"], 4, []],
  ["an invalid reference", "", ["pull", "UPPER/case"], 2, ["UPPER/case"]],
  ["a configuration with an unknown field", "uptsream: x", ["pull", IMAGE, "--config=input"], 2, ["upstream"]],
  ["an upstream with a password in its URL", "", ["pull", IMAGE, "--upstream=registry.test=http://u:p@h"], 2, [
    "configuration",
  ]],
];
for (const [what, input, args, status, parts] of bad) {
  Deno.test(`${what} gives one line, exit status ${status}, and leaves no file behind`, async () => {
    await using folder = await TestFolder.create();
    await folder.write("input", input);
    const result = await runCrpe(
      [...args, ...(args[0] === "inspect" ? [] : ["--data=data"])].concat(
        args[0] === "pack" ? ["--offline"] : [],
      ),
      { env: { HOME: folder.path }, cwd: folder.path },
    );
    assertEquals(result.code, status, result.stderr);
    if (status === 2) assertStringIncludes(result.stderr, parts[0] ?? "");
    else assertOneLine(result, ...parts);
    assertEquals((await folder.listFiles()).filter((name) => !name.endsWith(".lock")), ["input"]);
  });
}

Deno.test("[21] pull names an upstream that it cannot reach", async () => {
  await using folder = await TestFolder.create();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const result = await runCrpe(["pull", IMAGE, "--data=data", `--upstream=registry.test=http://127.0.0.1:${port}`], {
    env: { HOME: folder.path },
    cwd: folder.path,
  });
  assertEquals(result.code, 1);
  assertOneLine(result, `127.0.0.1:${port}`, "refused");
  assertEquals((await folder.listFiles("data")).filter((name) => name.startsWith("docker")), []);
});

Deno.test("registry reports a port that is in use, and the flag that chooses another", async () => {
  await using fixture = await createPackFixture({ [IMAGE]: image });
  const env = { HOME: fixture.folder.path };
  await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", `--data=${fixture.folder.path}/a`], { env });
  const result = await fixture.crpe("registry", `--addr=${new URL(crpe.url).host}`, "--data=b");
  assertEquals(result.code, 1);
  assertOneLine(result, "the port is in use", "--addr");
});

Deno.test("a second server of one data folder is refused; import and pack work while the first one runs", async () => {
  await using fixture = await createPackFixture({ [IMAGE]: image });
  const { folder } = fixture;
  const env = { HOME: folder.path };
  await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", `--data=${folder.path}/site`, "--offline"], {
    env,
  });
  const second = await fixture.crpe("registry", "--addr=127.0.0.1:0", "--data=site");
  assertEquals(second.code, 1);
  assertOneLine(second, "another crpe is serving it");

  await folder.write("a.json", JSON.stringify(makeKubePkg({ [IMAGE]: "" })));
  assertEquals((await fixture.crpe("pack", "a.json", "-o", "a.tgz", "--data=source", "--offline")).code, 0);
  assertEquals((await fetch(`${crpe.url}/v2/registry.test/app/manifests/1`)).status, 404);
  assertEquals((await fixture.crpe("import", "a.tgz", "--data=site")).code, 0);
  const response = await fetch(`${crpe.url}/v2/registry.test/app/manifests/1`, { method: "HEAD" });
  assertEquals(response.status, 200);
  assertEquals(response.headers.get("docker-content-digest"), image.root.digest);
  assertEquals((await fixture.crpe("pack", "a.json", "-o", "b.tgz", "--data=site", "--offline")).code, 0);
});

Deno.test("a server exits with status 0 on SIGTERM", async () => {
  await using fixture = await createPackFixture({ [IMAGE]: image });
  const crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", `--data=${fixture.folder.path}/a`], {
    env: { HOME: fixture.folder.path },
  });
  crpe.kill("SIGTERM");
  assertEquals((await crpe.finished).code, 0);
});

peerTest("[32] an import to a full disk reports the missing bytes, writes no tag, and frees the space", [
  "root",
  "mount",
], async () => {
  await using fixture = await createPackFixture({ [IMAGE]: image });
  await using disk = await mountSmall(8 * 1024 * 1024);
  const large = buildImage({ largeLayer: makeLargeLayer(12 * 1024 * 1024) });
  await writeImage(new DiskStore(`${fixture.folder.path}/source`), "registry.test/large:1", large);
  await fixture.folder.write("a.json", JSON.stringify(makeKubePkg({ "registry.test/large:1": "" })));
  assertEquals((await fixture.crpe("pack", "a.json", "-o", "a.tgz", "--data=source", "--offline")).code, 0);
  const result = await fixture.crpe("import", "a.tgz", `--data=${disk.path}/data`);
  assertEquals(result.code, 1);
  assertOneLine(result, "it needs 12 MiB", "MiB are missing");
  const packed = await fixture.crpe("pack", "a.json", "-o", `${disk.path}/a.tgz`, "--data=source", "--offline");
  assertEquals(packed.code, 1);
  assertOneLine(packed, "it needs 12 MiB in", "MiB are missing");
  const left = (await Array.fromAsync(Deno.readDir(`${disk.path}/data/ingest`))).map(({ name }) => name);
  assertEquals(left.filter((name) => !name.endsWith(".lock")), []);
  assertEquals((await Array.fromAsync(Deno.readDir(disk.path))).map(({ name }) => name), ["data"]);
});

peerTest(
  "[33] a read-only data folder is still served, and an import reports why it fails",
  ["root", "mount"],
  async () => {
    await using fixture = await createPackFixture({ [IMAGE]: image });
    await using disk = await mountSmall(8 * 1024 * 1024);
    await writeImage(new DiskStore(`${disk.path}/data`), "registry.test/app:1", image);
    await fixture.folder.write("a.json", JSON.stringify(makeKubePkg({ [IMAGE]: "" }, { version: "2.0.0" })));
    assertEquals((await fixture.crpe("pack", "a.json", "-o", "a.tgz", "--data=source", "--offline")).code, 0);
    await disk.freeze();
    const result = await fixture.crpe("import", "a.tgz", `--data=${disk.path}/data`);
    assertEquals(result.code, 1);
    assertOneLine(result, "read-only");
    await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", `--data=${disk.path}/data`, "--offline"], {
      env: { HOME: fixture.folder.path },
    });
    assertStringIncludes(crpe.log(), "cannot be written");
    for (const what of ["manifests/1", `blobs/${[...image.blobs.keys()][0]}`]) {
      const response = await fetch(`${crpe.url}/v2/registry.test/app/${what}`);
      await response.arrayBuffer();
      assertEquals(response.status, 200);
    }
    assert((await fixture.crpe("images", `--data=${disk.path}/data`)).stdout.includes(IMAGE));
  },
);
