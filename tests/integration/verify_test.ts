import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const IMAGE = "registry.test/team/single:2";
const image = buildImage({ files: [{ "a.txt": "a" }, { "b.txt": "b" }] });
const [LAYER, LAYER_BYTES] = [...image.blobs].find(([, bytes]) => bytes[0] === 0x1f)!;

/** Creates a folder with the data folder `source` and its bundle `a.tgz`. */
async function createBundle() {
  const fixture = await createPackFixture({ [IMAGE]: image });
  const { code, stderr } = await fixture.pack(makeKubePkg({ [IMAGE]: "" }), "a");
  assertEquals(code, 0, stderr);
  return fixture;
}

Deno.test("[29] [43] verify and import name the broken blob of a bundle", async () => {
  await using fixture = await createBundle();
  assertEquals((await fixture.crpe("verify", "a.tgz")).code, 0);
  const bytes = await Deno.readFile(`${fixture.folder.path}/a.tgz`);
  const at = findBytes(bytes, LAYER_BYTES);
  bytes[at + 30]! ^= 1;
  await Deno.writeFile(`${fixture.folder.path}/broken.tgz`, bytes);
  const verified = await fixture.crpe("verify", "broken.tgz");
  assertEquals(verified.code, 4);
  assertStringIncludes(verified.stdout, LAYER);
  const imported = await fixture.crpe("import", "broken.tgz", "--data=site");
  assertEquals(imported.code, 4);
  assertStringIncludes(imported.stderr, LAYER);
  assertEquals((await fixture.folder.listFiles("site")).filter((name) => /_manifests|kubepkg|\.tmp/.test(name)), []);
});

Deno.test("[29] verify and pack name the broken blob of the store, and pack leaves no file", async () => {
  await using fixture = await createBundle();
  assertEquals((await fixture.crpe("verify", "--data=source")).code, 0);
  const path = `source/docker/registry/v2/blobs/sha256/${LAYER.slice(7, 9)}/${LAYER.slice(7)}/data`;
  const stored = await Deno.readFile(`${fixture.folder.path}/${path}`);
  stored[10]! ^= 1;
  await Deno.writeFile(`${fixture.folder.path}/${path}`, stored);
  const store = await fixture.crpe("verify", "--data=source");
  assertEquals(store.code, 4);
  assertStringIncludes(store.stdout, LAYER);
  assertStringIncludes(store.stdout, IMAGE);
  const repacked = await fixture.pack(makeKubePkg({ [IMAGE]: "" }), "b");
  assertEquals(repacked.code, 4);
  assertStringIncludes(repacked.stderr, `Cannot pack ${IMAGE}: cannot accept ${LAYER}: `);
  assertStringIncludes(repacked.stderr, "; run crpe verify to see what is broken\n");
  assertEquals((await fixture.folder.listFiles()).filter((name) => name.includes("b.tgz")), []);
});

function findBytes(haystack: Uint8Array, needle: Uint8Array): number {
  const head = needle.subarray(0, 64);
  for (let at = 0; at < haystack.length - head.length; at++) {
    if (head.every((byte, i) => haystack[at + i] === byte)) return at;
  }
  throw new Error("Cannot find the bytes");
}
