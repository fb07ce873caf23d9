import { assert, assertEquals, assertGreater, assertLess, assertStringIncludes } from "../support/assert.ts";
import { withBearerAuth } from "../support/bearer_auth.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { startCountingProxy } from "../support/counting_proxy.ts";
import { spawnCrpe } from "../support/crpe_process.ts";
import { type Distribution, startDistribution, TEST_PASSWORD } from "../support/distribution.ts";
import { buildImage, buildIndex, type BuiltImage, describeBytes } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest, runPeer } from "../support/peers.ts";
import { PushRegistry } from "../support/push_registry.ts";
import { Random } from "../support/random.ts";
import { makeTar } from "../support/tar.ts";

const MIB = 1024 * 1024;
const platformImage = (platform: string) => buildImage({ platform, files: [{ "a.txt": platform }, { "b.txt": "b" }] });
const INDEX = "registry.test/team/index:1.0";
const ATTESTED = "registry.test/team/attested:1.0";
const PLAIN = "docker.io/library/plain:3";
const IMAGES: Readonly<Record<string, BuiltImage>> = {
  [INDEX]: buildIndex(["linux/amd64", "linux/arm64"].map(platformImage)),
  [ATTESTED]: buildIndex(["linux/amd64"].map(platformImage), { attestation: true }),
  [PLAIN]: buildImage({ format: "docker", files: [{ "b.txt": "b" }] }),
};
const INDEX_DIGEST = IMAGES[INDEX]!.root.digest;
const PLAIN_DIGEST = IMAGES[PLAIN]!.root.digest;
const large = buildImage({
  files: [{ a: new Random(1).bytes(MIB) }, { b: new Random(2).bytes(14 * MIB) }],
  layerCompression: "none",
});
const LARGE_BYTES = [...large.blobs.values()].reduce((sum, { length }) => sum + length, 0);

/** The digest of an image, as skopeo sees it. */
async function inspect(tools: ContainerTools, name: string): Promise<string> {
  const result = await tools.skopeo([
    "inspect",
    "--tls-verify=false",
    "--format={{.Digest}}",
    `docker://${name}`,
  ]);
  assertEquals(result.code, 0, result.stderr);
  return result.stdout.trim();
}

async function testAgainst(registry: Distribution): Promise<void> {
  await using fixture = await createPackFixture(IMAGES);
  await using tools = await ContainerTools.create();
  const { crpe, folder } = fixture;
  const at = (name: string) => `${folder.path}/${name}`;
  const to = (prefix: string) => `--to=${registry.url}/${prefix}`;

  const dry = await crpe("copy", INDEX, to("dry"), "--data=source", "--dry-run", "--json");
  assertEquals(dry.code, 0, dry.stderr);
  assertEquals(JSON.parse(dry.stdout)[0].toSend.manifests, 3);
  assert(!registry.log().includes("PUT"));

  // The images of the store; one that is missing does not stop the others.
  const both = await crpe("copy", INDEX, "missing:1", "plain:3", to("store"), "--data=source", "--offline", "--json");
  assertEquals(both.code, 1);
  assertStringIncludes(both.stderr, "docker.io/library/missing:1: it is not in the store; pull it first");
  assertStringIncludes(both.stderr, "1 of 3 failed: missing:1\n");
  const [index, failed, plain] = JSON.parse(both.stdout);
  assertEquals(failed.item, "missing:1");
  assertEquals([index.to, index.digest], [`${registry.host}/store/team/index:1.0`, INDEX_DIGEST]);
  assertEquals([plain.to, plain.digest], [`${registry.host}/store/library/plain:3`, PLAIN_DIGEST]);
  // Both have a layer `b.txt`, which is mounted.
  assertEquals([plain.sent.blobs, plain.present], [1, 1]);
  assertEquals(await inspect(tools, index.to), INDEX_DIGEST);
  assertEquals(await inspect(tools, plain.to), PLAIN_DIGEST);
  const pulled = await tools.skopeo([
    "copy",
    "--all",
    "--src-tls-verify=false",
    `docker://${index.to}`,
    `oci:${at("pulled")}:1`,
  ]);
  assertEquals(pulled.code, 0, pulled.stderr);

  const again = await crpe("copy", INDEX, "plain:3", ATTESTED, to("store"), "--data=source");
  assertEquals(again.code, 0, again.stderr);
  assertEquals(again.stdout.match(/nothing to send/g)?.length, 2, again.stdout);

  // A bundle, with its manifests.
  const kubepkg = makeKubePkg({ [INDEX]: "", [PLAIN]: "" });
  const pod = (name: string, image: string) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name },
    spec: { containers: [{ name, image, args: [`--helper-image=${INDEX}`] }] },
  });
  Object.assign(kubepkg.spec.manifests, { a: pod("a", `${INDEX}@${INDEX_DIGEST}`), b: pod("b", "plain:3") });
  assertEquals((await fixture.pack(kubepkg, "all")).code, 0);
  await fixture.folder.write("all.yaml", "an older one, which others may read");
  const bundle = await crpe("copy", "all.tgz", to("bundle"), "--manifests=all.yaml");
  assertEquals([bundle.code, bundle.stderr], [0, ""]);
  assertEquals(await inspect(tools, `${registry.host}/bundle/team/index:1.0`), INDEX_DIGEST);
  const yaml = await Deno.readTextFile(at("all.yaml"));
  // The objects may include Secrets.
  assertEquals((await Deno.stat(at("all.yaml"))).mode! & 0o777, 0o600);
  const name = `${registry.host}/bundle/team/index:1.0`;
  assertEquals(
    [...yaml.matchAll(/(?:image: |image=)"?([^"\n]+)"?/g)].map(([, image]) => image),
    [`${name}@${INDEX_DIGEST}`, name, `${registry.host}/bundle/library/plain:3`, name],
  );

  // A bundle of one platform: its index cannot be pushed, its manifest can.
  assertEquals((await fixture.pack(makeKubePkg({ [INDEX]: "" }), "arm", "--platform=linux/arm64")).code, 0);
  const partial = await crpe("copy", "arm.tgz", to("arm"), "--manifests=arm.yaml");
  assertEquals(partial.code, 1);
  assertStringIncludes(partial.stderr, "arm.tgz does not have linux/amd64 of its index");
  assertStringIncludes(partial.stderr, "--platform=linux/arm64");
  assertStringIncludes(partial.stderr, "the manifests were not written");
  const arm = await crpe("copy", "arm.tgz", to("arm"), "--platform=linux/arm64");
  assertEquals(arm.code, 0, arm.stderr);
  const raw = `${registry.host}/arm/team/index:1.0`;
  assertEquals(await inspect(tools, raw), platformImage("linux/arm64").root.digest);
  // A registry that has the other manifests gets the index.
  const known = await crpe("copy", "arm.tgz", to("store"));
  assertEquals(known.code, 0, known.stderr);

  // An archive of crpe save, and the folder of a layout.
  assertEquals((await crpe("save", INDEX, PLAIN, "-o", "all.tar", "--data=source")).code, 0);
  await Deno.mkdir(at("layout"));
  assertEquals((await runPeer("tar", ["-xf", at("all.tar"), "-C", at("layout")])).code, 0);
  const files = await crpe("copy", "all.tar", "./layout", to("file"), "--json");
  assertEquals(files.code, 0, files.stderr);
  assertEquals(await inspect(tools, `${registry.host}/file/team/index:1.0`), INDEX_DIGEST);
  const copied = JSON.parse(files.stdout).map((it: { digest: string; present: number }) => [it.digest, it.present]);
  // The layout has the same images.
  assertEquals(copied, [[INDEX_DIGEST, 0], [PLAIN_DIGEST, 1], [INDEX_DIGEST, 5], [PLAIN_DIGEST, 2]]);
}

peerTest(
  "crpe copy pushes images, bundles and archives into distribution",
  ["docker-registry", "skopeo", "tar"],
  async () => {
    await using registry = await startDistribution();
    await testAgainst(registry);
  },
);

peerTest(
  "crpe copy logs in to a registry with a password, and says what is wrong with a login",
  ["docker-registry"],
  async () => {
    await using registry = await startDistribution({ htpasswd: { user: "engineer", password: TEST_PASSWORD } });
    await using fixture = await createPackFixture(IMAGES);
    const copy = (...flags: string[]) =>
      fixture.crpe("copy", PLAIN, "--data=source", `--to=${registry.host}`, ...flags);
    const login = async (password: string) => {
      const auth = btoa(`engineer:${password}`);
      await fixture.folder.write(".docker/config.json", JSON.stringify({ auths: { [registry.host]: { auth } } }));
    };
    const without = await copy();
    assertEquals(without.code, 1);
    assertStringIncludes(without.stderr, "the registry denies the push: it needs a login, such as one of docker login");
    await login("wrong");
    const wrong = await copy();
    assertEquals(wrong.code, 1);
    assertStringIncludes(wrong.stderr, "the registry refuses the login");
    await login(TEST_PASSWORD);
    const right = await copy("--debug");
    assertEquals(right.code, 0, right.stderr);
    for (const { stdout, stderr } of [without, wrong, right]) {
      assert(
        !/correct horse|wrong"|ZW5n/.test(stdout + stderr),
      );
    }
  },
);

Deno.test("[98] crpe copy gets a token that allows a push, and resumes after a cut: only missing bytes are sent again", async () => {
  const login = { username: "engineer", password: "a-secret" };
  const registry = new PushRegistry();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    withBearerAuth(
      async (request) => {
        try {
          return await registry.handler(request);
        } catch {
          return new Response(null, { status: 500 });
        }
      },
      login,
      "pull,push",
    ),
  );
  await using fixture = await createPackFixture({ "registry.test/team/large:1": large });
  let proxy = startCountingProxy(`http://127.0.0.1:${server.addr.port}`);
  const { host } = new URL(proxy.url);
  const auths = { [host]: { auth: btoa(`${login.username}:${login.password}`) } };
  await fixture.folder.write(".docker/config.json", JSON.stringify({ auths }));
  const words = ["copy", "registry.test/team/large:1", "--data=source", `--to=${host}/a`, "--json"];
  const copying = spawnCrpe(words, fixture.processOptions);
  await proxy.reached(6 * MIB);
  await proxy[Symbol.asyncDispose]();
  // What the registry has of the blobs. The runtime has sent the chunk again at once, and was refused.
  await copying.printed("trying again in");
  const missing = LARGE_BYTES - registry.received;
  proxy = startCountingProxy(`http://127.0.0.1:${server.addr.port}`, { port: Number(new URL(proxy.url).port) });
  const { code, stdout, stderr } = await copying.finished;
  assertEquals(code, 0, stderr);
  assertGreater(missing, 5 * MIB);
  assertLess(proxy.bytes, 1.05 * missing);
  assertEquals(registry.received, LARGE_BYTES);
  assertEquals(JSON.parse(stdout)[0].digest, large.root.digest);
  assertEquals(registry.blobs.size, large.blobs.size);
  await proxy[Symbol.asyncDispose]();
  await server.shutdown();
});

peerTest(
  "[98] crpe copy begins a blob again where distribution has dropped its upload after a cut",
  ["docker-registry"],
  async () => {
    await using registry = await startDistribution();
    await using fixture = await createPackFixture({ "registry.test/team/large:1": large });
    let proxy = startCountingProxy(registry.url);
    const { host } = new URL(proxy.url);
    const words = ["copy", "registry.test/team/large:1", "--data=source", `--to=${host}`, "--json"];
    const copying = spawnCrpe(words, fixture.processOptions);
    await proxy.reached(6 * MIB);
    const before = proxy.bytes;
    await proxy[Symbol.asyncDispose]();
    await copying.printed("trying again in");
    proxy = startCountingProxy(registry.url, { port: Number(new URL(proxy.url).port) });
    const { code, stderr } = await copying.finished;
    assertEquals(code, 0, stderr);
    // Blobs that were complete are not sent again.
    assertLess(proxy.bytes, LARGE_BYTES + 64 * 1024);
    assertGreater(proxy.bytes, LARGE_BYTES - before);
    const again = await fixture.crpe("copy", "registry.test/team/large:1", "--data=source", `--to=${host}`);
    assertStringIncludes(again.stdout, "nothing to send; 3 blobs are there");
    await proxy[Symbol.asyncDispose]();
  },
);

Deno.test("crpe copy refuses what it cannot do before it sends anything", async () => {
  await using fixture = await createPackFixture(IMAGES);
  const auths = { "registry.test:5000": { auth: btoa("engineer:a-secret") } };
  await fixture.folder.write(".docker/config.json", JSON.stringify({ auths }));
  await fixture.folder.write("notes.tar", "no archive");
  assertEquals((await fixture.pack(makeKubePkg({ [INDEX]: "" }), "arm", "--platform=linux/arm64")).code, 0);
  const rows: [args: string[], code: number, message: string][] = [
    [[PLAIN], 2, "name the registry with --to REGISTRY[/PREFIX]"],
    [[PLAIN, "--to=registry"], 2, "if registry is its name, write registry:443"],
    [[PLAIN, "--to=user:a-secret@registry.test/x"], 2, 'Cannot use --to "…@registry.test/x"'],
    [[PLAIN, "--to=registry.test/Upper"], 2, "write REGISTRY or REGISTRY/PREFIX"],
    [["-", "--to=registry.test"], 2, "standard input"],
    [[PLAIN, "--to=registry.test", "--manifests=a.yaml"], 2, "only a bundle has manifests"],
    [[PLAIN, "--to=http://registry.test:5000"], 3, "the login is not sent unencrypted to another machine"],
    // The registry would be asked for the other manifests of its index.
    [["arm.tgz", "--to=http://registry.test:5000"], 3, "the login is not sent unencrypted to another machine"],
    [["notes.tar", "--to=127.0.0.1:1"], 4, "it is not an image archive"],
    [["missing.tgz", "--to=127.0.0.1:1"], 1, "there is no such file"],
  ];
  await Promise.all(rows.map(async ([args, code, message]) => {
    const result = await fixture.crpe("copy", ...args, "--data=source");
    assertEquals(result.code, code, `${args}: ${result.stderr}`);
    assertStringIncludes(result.stderr, message);
    assert(!result.stderr.includes("a-secret"));
  }));
});

Deno.test("crpe copy copies several images by digest into one repository, and an operand beside the same name in a file", async () => {
  const registry = new PushRegistry();
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, registry.handler);
  await using fixture = await createPackFixture(IMAGES);
  assertEquals((await fixture.crpe("save", PLAIN, "-o", "plain.tar", "--data=source")).code, 0);
  const digests = ["linux/amd64", "linux/arm64"].map((platform) => platformImage(platform).root.digest);
  const byDigest = digests.map((digest) => `registry.test/team/index@${digest}`);
  const to = `--to=http://127.0.0.1:${server.addr.port}`;
  const result = await fixture.crpe("copy", "plain.tar", PLAIN, ...byDigest, to, "--data=source", "--json");
  assertEquals([result.code, result.stderr], [0, ""]);
  const copied = JSON.parse(result.stdout).map(({ digest }: { digest: string }) => digest);
  assertEquals(copied, [PLAIN_DIGEST, PLAIN_DIGEST, ...digests]);
  for (const digest of digests) assert(registry.manifests.has(`team/index ${digest}`));
});

Deno.test("[112] crpe copy sends content of an archive that only its descriptor has", async () => {
  const registry = new PushRegistry();
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, registry.handler);
  await using fixture = await createPackFixture({});
  const contents = ["{}", "a layer"];
  const [config, layer] = contents.map((it) => {
    return { ...describeBytes("text/plain", new TextEncoder().encode(it)), data: btoa(it) };
  });
  const type = "application/vnd.oci.image.manifest.v1+json";
  const manifest = new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, config, layers: [layer] }));
  const annotations = { "io.containerd.image.name": "registry.test/team/art:1" };
  const root = { ...describeBytes(type, manifest), annotations };
  const name = `blobs/${root.digest.replace(":", "/")}`;
  const index = JSON.stringify({ schemaVersion: 2, manifests: [root] });
  await fixture.folder.write("art.tar", makeTar({ [name]: manifest, "index.json": index }));
  const to = `--to=http://127.0.0.1:${server.addr.port}`;
  const result = await fixture.crpe("copy", "art.tar", to, "--data=source", "--offline");
  assertEquals([result.code, result.stderr], [0, ""]);
  const sent = [config, layer].map((blob) => new TextDecoder().decode(registry.blobs.get(`team/art ${blob!.digest}`)));
  assertEquals(sent, contents);
});
