import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeBytes } from "../support/content.ts";
import { type CrpeProcess, runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { TestFolder } from "../support/test_folder.ts";

const NAME = "registry.test/team/app";
const LAYER = makeBytes(300_000, 7);

/** Starts an upstream, and pulls its image into the folder `data`. */
async function pullImage() {
  const folder = await TestFolder.create();
  const upstream = startFaultUpstream();
  upstream.addImage("team/app", "1", [LAYER]);
  const flags = [`--data=${folder.path}/data`, `--upstream=registry.test=${upstream.url}`];
  const env = { HOME: folder.path };
  const pulled = await runCrpe(["pull", `${NAME}:1`, ...flags, "--json"], { env });
  assertEquals(pulled.code, 0, pulled.stderr);
  const manifest = await (await fetch(`${upstream.url}/v2/team/app/manifests/1`)).json();
  const { digest } = manifest.layers[0] as { digest: string };
  const path = `${folder.path}/data/docker/registry/v2/blobs/sha256/${digest.slice(7, 9)}/${digest.slice(7)}/data`;
  return {
    folder,
    flags,
    env,
    digest,
    path,
    crpe: (...args: string[]) => runCrpe(args, { env }),
    damage: async () => {
      const bytes = await Deno.readFile(path);
      bytes[1000]! ^= 1;
      await Deno.writeFile(path, bytes);
    },
    isRight: async () => indexedEquals(await Deno.readFile(path), LAYER),
    async [Symbol.asyncDispose]() {
      await upstream[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

function indexedEquals(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

async function getLayer(crpe: CrpeProcess, digest: string): Promise<Uint8Array> {
  const response = await fetch(`${crpe.url}/v2/${NAME}/blobs/${digest}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function waitForLog(crpe: CrpeProcess, text: string): Promise<void> {
  for (let i = 0; i < 400 && !crpe.log().includes(text); i++) await new Promise((wake) => setTimeout(wake, 50));
  assertStringIncludes(crpe.log(), text);
}

Deno.test("[91] crpe pull replaces a corrupt blob that the store holds", async () => {
  await using it = await pullImage();
  await it.damage();
  assertEquals((await it.crpe("verify", it.flags[0]!)).code, 4);
  const pulled = await it.crpe("pull", `${NAME}:1`, ...it.flags);
  assertEquals([pulled.code, await it.isRight()], [0, true], pulled.stderr);
  assertEquals((await it.folder.listFiles("data/quarantine")).length, 1);
  assertEquals((await it.crpe("verify", it.flags[0]!)).code, 0);
});

Deno.test("[91] crpe verify names a corrupt blob and the way back, and changes nothing", async () => {
  await using it = await pullImage();
  await it.damage();
  for (let i = 0; i < 2; i++) {
    const { code, stdout } = await it.crpe("verify", it.flags[0]!);
    assertEquals(code, 4);
    assertStringIncludes(stdout, `${it.digest}: its content does not match its digest; needed by ${NAME}:1; `);
    assertStringIncludes(stdout, "crpe verify --repair");
  }
  assertEquals(await it.folder.listFiles("data/quarantine"), []);
});

Deno.test("[91] crpe verify --repair fetches a corrupt blob from the upstream, and rebuilds a tag", async () => {
  await using it = await pullImage();
  await it.damage();
  const tag = `${it.folder.path}/data/docker/registry/v2/repositories/${NAME}/_manifests/tags/1/current/link`;
  const before = await Deno.readTextFile(tag);
  await Deno.writeTextFile(tag, "");
  const { code, stdout, stderr } = await it.crpe("verify", "--repair", ...it.flags);
  assertEquals([code, await it.isRight(), await Deno.readTextFile(tag)], [0, true, before], stdout + stderr);
  assertStringIncludes(stdout, "2 broken, 2 repaired");
  assertEquals((await it.crpe("verify", it.flags[0]!)).code, 0);
});

Deno.test("[91] crpe verify --repair without an upstream moves the blob aside, and says what is missing", async () => {
  await using it = await pullImage();
  await it.damage();
  const { code, stdout } = await it.crpe("verify", "--repair", "--offline", it.flags[0]!);
  assertEquals(code, 4);
  assertStringIncludes(stdout, "moved aside, but not fetched again");
  assertEquals((await it.folder.listFiles("data/quarantine")).length, 1);
});

/** A site that has imported `a.tgz`, and of which a layer is corrupt. */
async function createSpoiltSite() {
  const image = buildImage({ files: [{ "a.txt": "a" }, { "b.txt": "b" }] });
  const fixture = await createPackFixture({ [`${NAME}:1`]: image });
  assertEquals((await fixture.pack(makeKubePkg({ [`${NAME}:1`]: "" }), "a")).code, 0);
  assertEquals((await fixture.crpe("import", "a.tgz", "--data=site")).code, 0);
  const [digest] = [...image.blobs].find(([, bytes]) => bytes[0] === 0x1f)!;
  const path = `${fixture.folder.path}/site/docker/registry/v2/blobs/sha256/${digest.slice(7, 9)}/${
    digest.slice(7)
  }/data`;
  const right = await Deno.readFile(path);
  await Deno.writeFile(path, right.map((byte) => byte ^ 1));
  return { fixture, path, right, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

Deno.test("[91] crpe verify --repair --from takes the content from a bundle", async () => {
  await using site = await createSpoiltSite();
  const { fixture, path, right } = site;
  const { code, stdout } = await fixture.crpe("verify", "--repair", "--from=a.tgz", "--offline", "--data=site");
  assertEquals([code, await Deno.readFile(path)], [0, right], stdout);
  // A blob that is missing altogether is brought again, too.
  await Deno.remove(path);
  assertEquals((await fixture.crpe("verify", "--data=site")).code, 4);
  assertEquals((await fixture.crpe("verify", "--repair", "--from=a.tgz", "--offline", "--data=site")).code, 0);
  assertEquals((await fixture.crpe("verify", "--data=site")).code, 0);
});

for (const what of ["manifests alone", "all content"]) {
  Deno.test(`[91] crpe verify --repair --from brings ${what} back: every finding is repaired, and no repository is added`, async () => {
    await using fixture = await createPackFixture({ [`${NAME}:1`]: buildImage({ files: [{ "a.txt": "a" }] }) });
    assertEquals((await fixture.pack(makeKubePkg({ [`${NAME}:1`]: "" }), "a")).code, 0);
    assertEquals((await fixture.crpe("import", "a.tgz", "--data=site")).code, 0);
    const before = await fixture.folder.listFiles("site/docker");
    const revisions = before.filter((path) => path.includes("/revisions/"));
    const isLost = (path: string) =>
      path.endsWith("/data") &&
      (what === "all content" || revisions.some((it) => it.includes(path.split("/").at(-2)!)));
    for (const path of before.filter(isLost)) await Deno.remove(`${fixture.folder.path}/site/docker/${path}`);
    const flags = ["--repair", "--from=a.tgz", "--offline", "--data=site"];
    const { code, stdout } = await fixture.crpe("verify", ...flags);
    assertEquals([code, /(\d+) broken, \1 repaired/.test(stdout)], [0, true], stdout);
    assertEquals(stdout.includes("crpe verify --repair"), false, stdout);
    assertEquals(await fixture.folder.listFiles("site/docker"), before);
    assertEquals((await fixture.crpe("verify", "--data=site")).code, 0);
  });
}

Deno.test("[91] crpe import --force replaces a corrupt blob that the store holds", async () => {
  await using site = await createSpoiltSite();
  const { fixture, path, right } = site;
  const { code, stderr } = await fixture.crpe("import", "a.tgz", "--force", "--data=site");
  assertEquals([code, await Deno.readFile(path)], [0, right], stderr);
});

Deno.test("[91] a server notices a shortened blob when it is opened, and fetches it again", async () => {
  await using it = await pullImage();
  await Deno.truncate(it.path, 1000);
  await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", ...it.flags], { env: it.env });
  assertEquals(indexedEquals(await getLayer(crpe, it.digest), LAYER), true);
  await waitForLog(crpe, `${it.digest} is corrupt`);
});

Deno.test("[91] a scrub moves a corrupt blob aside, and the next client causes it to be fetched again", async () => {
  await using it = await pullImage();
  await it.damage();
  await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", "--scrub=2s", ...it.flags], { env: it.env });
  await waitForLog(crpe, `${it.digest} is corrupt`);
  assertEquals(indexedEquals(await getLayer(crpe, it.digest), LAYER), true);
});

Deno.test("[91] crpe verify names a broken record, and checks the others", async () => {
  const image = buildImage({ files: [{ "a.txt": "a" }] });
  await using fixture = await createPackFixture({ [`${NAME}:1`]: image });
  assertEquals((await fixture.pack(makeKubePkg({ [`${NAME}:1`]: "" }), "a")).code, 0);
  assertEquals((await fixture.crpe("import", "a.tgz", "--data=site")).code, 0);
  const good = await Deno.readTextFile(
    `${fixture.folder.path}/site/kubepkg/${
      JSON.parse(await Deno.readTextFile(`${fixture.folder.path}/a.json`)).metadata.name
    }/current.json`,
  );
  await fixture.folder.write("site/kubepkg/other/current.json", good.slice(0, 100));
  const { code, stdout } = await fixture.crpe("verify", "--data=site");
  assertEquals(code, 4);
  assertStringIncludes(stdout, "site/kubepkg/other/current.json");
  assertStringIncludes(stdout, "crpe packages remove other --forget");
  const [digest] = [...image.blobs.keys()];
  await Deno.remove(
    `${fixture.folder.path}/site/docker/registry/v2/blobs/sha256/${digest!.slice(7, 9)}/${digest!.slice(7)}/data`,
  );
  assertStringIncludes((await fixture.crpe("verify", "--data=site")).stdout, `${digest}: it is missing`);
});
