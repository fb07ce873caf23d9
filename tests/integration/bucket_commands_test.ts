import { tagLinkPath } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { makeBytes } from "../support/content.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { openS3Client, S3_BUCKET, s3Environment, startVersitygw } from "../support/object_storage.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { findPeer, peerTest } from "../support/peers.ts";
import { PushRegistry } from "../support/push_registry.ts";

const NAME = "registry.test/team/app";
const storage = findPeer("versitygw") === undefined ? undefined : await startVersitygw();
globalThis.addEventListener("unload", () => storage?.kill());

const [first, second] = ["1", "2"].map((text) =>
  buildImage({ files: { "a.txt": text, "b.bin": makeBytes(1_500_000, Number(text)) } })
);

/** A bucket of its own, and machines with a data folder each. */
async function openFixture() {
  const fixture = await createPackFixture({ [`${NAME}:1`]: first!, [`${NAME}:2`]: second! });
  const prefix = crypto.randomUUID();
  const options = { env: { HOME: fixture.folder.path, ...s3Environment(storage!) }, cwd: fixture.folder.path };
  const flags = (machine: string) => [`--data=${machine}`, `--store=s3://${S3_BUCKET}/${prefix}`];
  return {
    ...{ path: fixture.folder.path, pack: fixture.pack, crpe: fixture.crpe },
    /** Runs crpe on a machine. */
    run: (machine: string, ...args: string[]) => runCrpe([...args, ...flags(machine)], options),
    serve: (machine: string) => startCrpe(["registry", "--addr=127.0.0.1:0", "--offline", ...flags(machine)], options),
    client: openS3Client(storage!, `${prefix}/`),
    [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
  };
}

/** Puts both images into the bucket. */
async function load({ crpe, run }: Awaited<ReturnType<typeof openFixture>>): Promise<void> {
  const saved = await crpe("save", `${NAME}:1`, `${NAME}:2`, "-o", "images.tar", "--data=source");
  assertEquals(saved.code, 0, saved.stderr);
  const loaded = await run("a", "load", "images.tar");
  assertEquals(loaded.code, 0, loaded.stderr);
}

peerTest("[103] images of a bucket are copied to a registry", ["versitygw"], async () => {
  await using fixture = await openFixture();
  await load(fixture);
  const registry = new PushRegistry();
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (it) => registry.handler(it));
  const to = `--to=127.0.0.1:${server.addr.port}/mirror`;
  const { code, stdout, stderr } = await fixture.run("b", "copy", `${NAME}:1`, `${NAME}:3`, to, "--offline", "--json");
  assertEquals(code, 1);
  assertStringIncludes(stderr, `${NAME}:3: it is not in the store`);
  const [copied] = JSON.parse(stdout);
  assertEquals([copied.digest, copied.sent.blobs], [first!.root.digest, first!.blobs.size]);
  assert(registry.manifests.has(`mirror/team/app 1`), [...registry.manifests.keys()].join());
});

peerTest("[103] an image is removed from a bucket, unless a package needs it", ["versitygw"], async () => {
  await using fixture = await openFixture();
  await load(fixture);
  const { run } = fixture;
  const packed = await fixture.pack(makeKubePkg({ [`${NAME}:2`]: second!.root.digest }), "release");
  assertEquals(packed.code, 0, packed.stderr);
  const imported = await run("b", "import", "release.tgz");
  assertEquals(imported.code, 0, imported.stderr);
  const isTagged = async (tag: string) => await fixture.client.size(tagLinkPath(NAME, tag)) !== undefined;

  const dry = await run("c", "images", "rm", `${NAME}:1`, "--dry-run");
  assertEquals([dry.code, dry.stdout, await isTagged("1")], [0, `would remove ${NAME}:1\n`, true], dry.stderr);
  await using crpe = await fixture.serve("d");
  const ask = async (tag: string) => {
    const response = await fetch(`${crpe.url}/v2/${NAME}/manifests/${tag}`);
    await response.body?.cancel();
    return response.status;
  };
  assertEquals([await ask("1"), await ask("2")], [200, 200]);
  const both = await run("c", "images", "rm", `${NAME}:1`, `${NAME}:2`, "--json");
  assertEquals(both.code, 3, both.stderr);
  assertEquals(JSON.parse(both.stdout)[0], { reference: `${NAME}:1`, removed: true });
  assertStringIncludes(both.stderr, "the package line4@1.0.0 needs it");
  assertEquals([await isTagged("1"), await isTagged("2")], [false, true]);
  // A server may serve a tag for a second that another machine has removed.
  for (let tries = 0; await ask("1") !== 404; tries++) {
    assert(tries < 100);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assertEquals(await ask("2"), 200);
  const gone = await run("c", "images", "rm", `${NAME}:1`);
  assertEquals(gone.code, 1);
  assertStringIncludes(gone.stderr, `the store does not have it; it has the tag 2 of ${NAME}`);
  const byDigest = await run("c", "images", "rm", `${NAME}@${first!.root.digest}`);
  assertEquals(byDigest.code, 1);
  assertStringIncludes(byDigest.stderr, "crpe gc --untagged removes what has no tag");
  // What was removed is listed no more, and the rest is intact.
  const listed = JSON.parse((await run("a", "images", "--json")).stdout);
  assertEquals(listed.map(({ reference }: { reference: string }) => reference), [`${NAME}:2`]);
  const verified = await run("a", "verify");
  assertEquals(verified.code, 0, verified.stdout);
  // It can be stored again.
  assertEquals((await run("a", "load", "images.tar")).code, 0);
  assertEquals(await isTagged("1"), true);
});

peerTest("[103] [94] what is pending in a bucket is listed and ended on any machine", ["versitygw"], async () => {
  await using fixture = await openFixture();
  const { run } = fixture;
  const images = { [`${NAME}:1`]: first!.root.digest, [`${NAME}:2`]: second!.root.digest };
  const packed = await fixture.pack(makeKubePkg(images), "release", "--split=2MiB");
  assertEquals(packed.code, 0, packed.stderr);
  const parts = (await Array.fromAsync(Deno.readDir(fixture.path))).map(({ name }) => name)
    .filter((name) => /^release.*\d.*\.tgz$/.test(name)).sort();
  assert(parts.length >= 2, parts.join());
  const received = await run("a", "import", parts[0]!);
  assertEquals(received.code, 0, received.stderr);
  for (const machine of ["a", "b"]) {
    const [pending] = JSON.parse((await run(machine, "packages", "--pending", "--json")).stdout);
    assertEquals([pending.name, pending.version, pending.parts.received], ["line4", "1.0.0", [1]]);
  }
  const listed = await run("b", "packages", "--pending");
  assertMatch(listed.stdout, new RegExp(`^line4 +1\\.0\\.0 +default .* 1 of ${parts.length} parts `, "m"));
  const ended = await run("b", "packages", "remove", "line4", "--pending");
  assertEquals(ended.code, 0, ended.stderr);
  assertEquals(JSON.parse((await run("a", "packages", "--pending", "--json")).stdout), []);
});
