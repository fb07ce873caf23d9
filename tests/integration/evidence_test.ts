import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeAppImage } from "../support/delta_fixture.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { Cosign, OLD_FORMAT } from "../support/cosign.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { type Distribution, startDistribution } from "../support/distribution.ts";
import { buildArtifact, buildImage, buildIndex, type BuiltImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { peerTest } from "../support/peers.ts";
import { pushImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const NEEDS = ["docker-registry", "cosign"] as const;
const REPO = "registry.test/team/web";
const IMAGE = buildIndex([buildImage({ platform: "linux/amd64" }), buildImage({ platform: "linux/arm64" })]);
const SBOM = { spdxVersion: "SPDX-2.3", packages: [{ name: "zlib", versionInfo: "1.3" }] };
const CYCLONE = { bomFormat: "CycloneDX", specVersion: "1.6", components: [{ name: "musl", version: "1.2.5" }] };
const nameOf = (version: string) => `line4@${version}.tgz`;

/** A desk with a registry, cosign with a key pair, and `crpe` in a folder of its own. */
async function createDesk() {
  await using resources = new AsyncDisposableStack();
  const folder = resources.use(await TestFolder.create());
  const registry: Distribution = resources.use(await startDistribution());
  const cosign = await Cosign.create(folder.path);
  const options = { env: { HOME: folder.path }, cwd: folder.path };
  await folder.write("sbom.json", JSON.stringify(SBOM));
  const crpe = (...args: string[]) => runCrpe(args, options);
  const owned = resources.move();
  return {
    folder,
    cosign,
    crpe,
    registry,
    push: (tag: string, image: BuiltImage) => pushImage(registry.url, `team/web:${tag}`, { image }),
    /** The image at the registry, by its digest. */
    at: ({ root }: BuiltImage) => `${registry.host}/team/web@${root.digest}`,
    /** Packs a release of the image with the tag of its version from the registry. */
    async pack(version: string, ...flags: string[]) {
      await folder.write("line4.json", JSON.stringify(makeKubePkg({ [`${REPO}:${version}`]: "" }, { version })));
      return await crpe("pack", "line4.json", "--data=desk", `--upstream=registry.test=${registry.url}`, ...flags);
    },
    import: (file: string, ...flags: string[]) => crpe("import", file, "--data=site", ...flags),
    serve: (...flags: string[]) => startCrpe(["registry", "--addr=127.0.0.1:0", ...flags], options),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

type Desk = Awaited<ReturnType<typeof createDesk>>;

/** Signs the image in both formats, and attaches an attestation and SBOMs to it. */
async function attachAll({ cosign, at, push }: Desk): Promise<void> {
  const image = at(IMAGE);
  const cyclone = buildArtifact(IMAGE.root, "application/vnd.cyclonedx+json", JSON.stringify(CYCLONE));
  await push("cyclone", cyclone);
  // The registry has no referrers API: clients keep a list under this tag, to which cosign adds its own.
  await push(IMAGE.root.digest.replace(":", "-"), buildIndex([cyclone]));
  await cosign.sign(image);
  await cosign.run("sign", "--key=cosign.key", ...OLD_FORMAT, "--yes", image);
  const attest = ["attest", "--key=cosign.key", "--yes", "--type=spdxjson", "--predicate=sbom.json"];
  await cosign.run(...attest, "--signing-config=config.json", image);
  await cosign.run(...attest, ...OLD_FORMAT, image);
  await cosign.run("attach", "sbom", "--sbom=sbom.json", "--type=spdx", "--input-format=json", image);
}

/** Starts a registry without upstreams on the data folder, and verifies the image there with cosign. */
async function verifyOffline({ serve, cosign }: Desk, tag: string, data = "site"): Promise<void> {
  await using site = await serve(`--data=${data}`, "--offline");
  const image = `${new URL(site.url).host}/${REPO}:${tag}`;
  for (const flags of [[], ["--insecure-ignore-tlog", "--offline"], ["--new-bundle-format=false"]]) {
    const { code, stderr } = await cosign.verify(image, ...flags);
    assertEquals(code, 0, `${flags}: ${stderr}${site.log()}`);
  }
}

peerTest(
  "what is attached to an image is packed, and cosign verifies it at a site without a network",
  NEEDS,
  async () => {
    await using desk = await createDesk();
    const { crpe, cosign, folder } = desk;
    await desk.push("1.0.0", IMAGE);
    await attachAll(desk);
    const packed = await desk.pack("1.0.0", "--platform=linux/amd64", "--verify-images=cosign.pub", "--json");
    assertEquals(packed.code, 0, packed.stderr);
    const { images: [{ referrers }], warnings } = JSON.parse(packed.stdout);
    assertEquals([referrers, warnings], [6, []]);
    assertEquals((await crpe("verify", nameOf("1.0.0"))).code, 0);

    const dry = await desk.import(nameOf("1.0.0"), "--dry-run");
    assertStringIncludes(dry.stdout, "6 referrers of these images");
    const imported = await desk.import(nameOf("1.0.0"), "--verify-images=cosign.pub", "--json");
    assertEquals(imported.code, 0, imported.stderr);
    const [{ referrers: planned, images }] = JSON.parse(imported.stdout);
    assertEquals([planned, images.length], [6, 1]);
    assertStringIncludes((await desk.import(nameOf("1.0.0"))).stdout, "nothing to do");
    assertEquals((await crpe("gc", "--data=site", "--untagged")).code, 0);
    await verifyOffline(desk, "1.0.0");
    {
      await using site = await desk.serve("--data=site", "--offline");
      const image = `${new URL(site.url).host}/${REPO}:1.0.0`;
      const attestation = ["verify-attestation", "--key=cosign.pub", "--type=spdxjson", "--private-infrastructure"];
      for (const flags of [[], ["--new-bundle-format=false"]]) await cosign.run(...attestation, ...flags, image);
      const tree = await cosign.try("tree", image);
      for (const part of ["Signatures for an image", "SBOMs for an image", "https://sigstore.dev/cosign/sign/v1"]) {
        assertStringIncludes(tree.stdout + tree.stderr, part);
      }
      assertEquals(JSON.parse(await cosign.run("download", "sbom", image)), SBOM);
      const list = `${site.url}/v2/${REPO}/referrers/${IMAGE.root.digest}`;
      const count = async (url: string) => (await (await fetch(url)).json()).manifests.length;
      const type = encodeURIComponent("application/vnd.dev.sigstore.bundle.v0.3+json");
      assertEquals([await count(list), await count(`${list}?artifactType=${type}`)], [3, 2]);
    }
    const removed = await crpe("packages", "remove", "line4", "--data=site");
    assertEquals(removed.code, 0, removed.stderr);
    assertEquals((await crpe("gc", "--data=site")).code, 0);
    assertEquals(await folder.listFiles("site/docker"), []);
  },
);

peerTest("--verify-images refuses what the key has not signed, and nothing is written", NEEDS, async () => {
  await using desk = await createDesk();
  const { crpe, folder, cosign, at } = desk;
  await desk.push("1.0.0", IMAGE);
  assertEquals((await crpe("keygen", "other", "--algorithm=p256")).code, 0);
  const checkRefused = ({ code, stderr }: { code: number; stderr: string }, message: string) => {
    assertEquals({ code, lines: stderr.trim().split("\n").length }, { code: 3, lines: 1 }, stderr);
    assertStringIncludes(stderr, `${REPO}:1.0.0@${IMAGE.root.digest} ${message}`);
  };
  checkRefused(await desk.pack("1.0.0", "--verify-images=cosign.pub"), "has no signature, and must be signed by key");
  // An attestation says something about the image, but not that it is released.
  await cosign.run(
    ...["attest", "--key=cosign.key", "--yes", "--type=spdxjson", "--predicate=sbom.json"],
    ...["--signing-config=config.json", at(IMAGE)],
  );
  checkRefused(await desk.pack("1.0.0", "--verify-images=cosign.pub"), "is not signed by key");
  for (const format of ["new", "old"] as const) {
    if (format === "new") await cosign.sign(at(IMAGE));
    else await cosign.run("sign", "--key=cosign.key", ...OLD_FORMAT, "--yes", at(IMAGE));
    checkRefused(await desk.pack("1.0.0", "--verify-images=other.pub"), "is not signed by key");
    assertEquals((await folder.listFiles()).filter((name) => name.endsWith(".tgz")), []);
  }
  assertEquals((await desk.pack("1.0.0", "--verify-images=cosign.pub", "--no-referrers")).code, 0);
  const without = await desk.import(nameOf("1.0.0"), "--verify-images=cosign.pub");
  checkRefused(without, "has no signature");
  assert(/ key [0-9a-f]{64} \(cosign\.pub\)$/.test(without.stderr.trim()), without.stderr);
  assertEquals((await desk.pack("1.0.0")).code, 0);
  checkRefused(await desk.import(nameOf("1.0.0"), "--verify-images=other.pub"), "is not signed by key");
  checkRefused(await desk.import(nameOf("1.0.0"), "--verify-images=other.pub", "--force"), "is not signed by key");
  assertEquals((await folder.listFiles("site")).filter((name) => !name.startsWith("ingest")), []);
  const both = await Deno.readTextFile(`${folder.path}/other.pub`) +
    await Deno.readTextFile(`${folder.path}/cosign.pub`);
  await folder.write("both.pem", both);
  assertEquals((await desk.import("-", "--verify-images=both.pem")).code, 2);
  assertEquals((await desk.import(nameOf("1.0.0"), "--verify-images=cosign.key")).code, 2);
  const { code, stderr } = await desk.import(nameOf("1.0.0"), "--verify-images=both.pem");
  assertEquals(code, 0, stderr);
});

peerTest("a signature holds for an image that a delta has rebuilt, and for one that came in parts", NEEDS, async () => {
  await using desk = await createDesk();
  const { crpe, folder, cosign, at } = desk;
  const [first, second] = [makeAppImage(1), makeAppImage(2)];
  for (const [version, image] of [["1.0.0", first], ["1.1.0", second]] as const) {
    await desk.push(version, image);
    await cosign.sign(at(image));
    await cosign.run("sign", "--key=cosign.key", ...OLD_FORMAT, "--yes", at(image));
  }
  const upstream = `--upstream=registry.test=${desk.registry.url}`;
  const pulled = await crpe("pull", ...["1.0.0", "1.1.0"].map((tag) => `${REPO}:${tag}`), "--data=desk", upstream);
  assertEquals(pulled.code, 0, pulled.stderr);
  const parts = await desk.pack("1.0.0", "--split=100KiB", "--json");
  assertEquals(parts.code, 0, parts.stderr);
  const files: string[] = JSON.parse(parts.stdout).parts.map(({ file }: { file: string }) => file);
  assert(files.length > 1, parts.stdout);
  const last = await desk.import(files.at(-1)!, "--verify-images=cosign.pub");
  assertEquals(last.code, 3, last.stderr);
  assertStringIncludes(last.stderr, "must be signed by key");
  for (const file of files) {
    const { code, stderr } = await desk.import(file, "--verify-images=cosign.pub");
    assertEquals(code, 0, stderr);
  }
  await verifyOffline(desk, "1.0.0");
  await folder.write("have.json", (await crpe("inventory", "--data=site")).stdout);
  const delta = await desk.pack("1.1.0", "--have=have.json", "--json");
  assertEquals(delta.code, 0, delta.stderr);
  assertEquals(JSON.parse(delta.stdout).deltas?.count, 1, delta.stdout);
  const { code, stderr } = await desk.import(nameOf("1.1.0"), "--verify-images=cosign.pub");
  assertEquals(code, 0, stderr);
  await verifyOffline(desk, "1.1.0");
  // A rollback brings back the version, whose evidence is still there.
  assertEquals((await crpe("packages", "rollback", "line4", "--data=site")).code, 0);
  await verifyOffline(desk, "1.0.0");
});

peerTest(
  "what is attached to an image comes with pull through, pull, copy, save and load, and cosign verifies it",
  [...NEEDS, "podman", "skopeo"],
  async () => {
    await using desk = await createDesk();
    const { crpe, cosign, folder, registry } = desk;
    await using tools = await ContainerTools.create();
    await using target = await startDistribution();
    await desk.push("1.0.0", IMAGE);
    await attachAll(desk);
    const name = `${REPO}:1.0.0`;
    const upstream = `--upstream=registry.test=${registry.url}`;
    const run = async (...args: string[]) => {
      const result = await crpe(...args);
      assertEquals(result.code, 0, `${args}: ${result.stderr}`);
      assertEquals(result.stderr.includes("warning"), false, result.stderr);
      return result;
    };
    const copy = async (operand: string, prefix: string, ...flags: string[]) => {
      const { stdout } = await run("copy", operand, `--to=${target.url}/${prefix}`, ...flags, "--json");
      return { ...JSON.parse(stdout)[0], at: `${target.host}/${prefix}/team/web:1.0.0` };
    };
    const verifyAt = async (image: string) => {
      for (const flags of [[], ["--new-bundle-format=false"]]) {
        const { code, stderr } = await cosign.verify(image, ...flags);
        assertEquals(code, 0, `${image} ${flags}: ${stderr}`);
      }
    };
    // The tags of both schemes, beside the image, lead to the same bytes.
    const listTags = async (at: string) => {
      const path = at.slice(at.indexOf("/") + 1, at.lastIndexOf(":"));
      const { tags } = await (await fetch(`${target.url}/v2/${path}/tags/list`)).json();
      const digests = tags.sort().map(async (tag: string) => {
        const headers = {
          accept: "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json",
        };
        const { headers: answer } = await fetch(`${target.url}/v2/${path}/manifests/${tag}`, { headers });
        return `${tag} ${answer.get("docker-content-digest")}`;
      });
      return await Promise.all(digests);
    };
    const checkSame = async (at: string) => assertEquals(await listTags(at), await listTags(first.at));
    {
      // A client pulls it through. A crpe has the referrers API, so that the next one does not need the tag.
      await using cache = await desk.serve("--data=cache", upstream);
      await verifyAt(`${new URL(cache.url).host}/${name}`);
      const behind = `--upstream=registry.test=${cache.url}/v2/registry.test`;
      const { stdout } = await run("pull", name, "--data=second", behind, "--json");
      assert(JSON.parse(stdout)[0].referrers >= 3, stdout);
    }
    await verifyOffline(desk, "1.0.0", "cache");

    // From the registry, through the store. The target has no referrers API.
    const first = await copy(name, "first", "--data=store", upstream);
    assertEquals(first.referrers, 6);
    await verifyAt(first.at);
    const again = await copy(name, "first", "--data=store", "--offline");
    assertEquals([again.sent.blobs, again.sent.manifests, again.referrers], [0, 0, 6]);
    const without = await copy(name, "without", "--data=store", "--offline", "--no-referrers");
    assertEquals([without.referrers, (await cosign.verify(without.at)).code !== 0], [undefined, true]);

    assertStringIncludes((await run("pull", name, "--data=pulled", upstream)).stdout, "  6 referrers\n");
    await run("pull", name, "--data=bare", upstream, "--no-referrers");
    assertEquals((await run("images", "--data=bare", "--json")).stdout.includes("sha256-"), false);

    const saved = await run("save", name, "--data=pulled", "-o", "signed.tar", "--json");
    assertEquals(JSON.parse(saved.stdout), { ...JSON.parse(saved.stdout), images: [name], referrers: 6 });
    await run("load", "signed.tar", "--data=loaded");
    await verifyOffline(desk, "1.0.0", "loaded");
    const second = await copy("signed.tar", "second");
    assertEquals(second.referrers, 6);
    await checkSame(second.at);
    // Other tools see the image alone.
    const podman = await tools.podman(["load", "--input", `${folder.path}/signed.tar`]);
    assertEquals([podman.code, podman.stdout.trim()], [0, `Loaded image: ${name}`], podman.stderr);
    const skopeo = await tools.skopeo(["inspect", "--raw", `oci-archive:${folder.path}/signed.tar:1.0.0`]);
    assertEquals([skopeo.code, JSON.parse(skopeo.stdout).manifests.length], [0, 2], skopeo.stderr);

    assertEquals((await desk.pack("1.0.0")).code, 0);
    const third = await copy(nameOf("1.0.0"), "third");
    assertEquals(third.referrers, 6);
    await checkSame(third.at);
    // Of one platform, only what is about its manifest.
    const one = await copy(nameOf("1.0.0"), "one", "--platform=linux/amd64");
    assertEquals(one.referrers, undefined);
  },
);

peerTest("inspect --sbom prints the SBOMs of referrers, attestations and tags", NEEDS, async () => {
  await using desk = await createDesk();
  await desk.push("1.0.0", IMAGE);
  await attachAll(desk);
  assertEquals((await desk.pack("1.0.0")).code, 0);
  const shown = await desk.crpe("inspect", "--sbom", nameOf("1.0.0"));
  assertEquals(shown.code, 0, shown.stderr);
  assertEquals(shown.stdout.split("\n").filter((line) => line === "  zlib 1.3").length, 3, shown.stdout);
  assertStringIncludes(shown.stdout, `${REPO}:1.0.0  SPDX 2.3 in an attestation, 1 component, `);
  const { stdout } = await desk.crpe("inspect", "--sbom", "--json", nameOf("1.0.0"));
  const sboms: { document: unknown; isAttestation?: true; subject: string }[] = JSON.parse(stdout);
  const isCyclone = ({ document }: { document: unknown }) => JSON.stringify(document).includes("CycloneDX");
  assertEquals(sboms.filter(isCyclone).map(({ document }) => document), [CYCLONE]);
  assertEquals(sboms.filter((it) => !isCyclone(it)).map(({ document }) => document), [SBOM, SBOM, SBOM]);
  assertEquals(sboms.filter(({ isAttestation }) => isAttestation).length, 2);
  assertStringIncludes(shown.stdout, "\n  musl 1.2.5\n");
  assertEquals([...new Set(sboms.map(({ subject }) => subject))], [IMAGE.root.digest]);
  assertEquals((await desk.crpe("inspect", "--sbom", "-")).code, 2);
  assertEquals((await desk.pack("1.0.0", "--no-referrers")).code, 0);
  assertEquals((await desk.crpe("inspect", "--sbom", nameOf("1.0.0"))).stdout, "no SBOM\n");
  assertEquals((await desk.crpe("inspect", "--sbom", "--json", nameOf("1.0.0"))).stdout, "[]\n");
});
