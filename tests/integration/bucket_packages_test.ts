import { takeCollectionLease } from "../../lib/object_store/collect_bucket.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { MANIFEST_MEDIA_TYPES } from "../../lib/oci/manifest.ts";
import { blobPath, tagLinkPath } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { makeBytes } from "../support/content.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { runCrpe, spawnCrpe, startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { openS3Client, S3_BUCKET, s3Environment, startVersitygw } from "../support/object_storage.ts";
import { startCountingProxy } from "../support/counting_proxy.ts";
import { createReleases } from "../support/pack_fixture.ts";
import { findPeer, peerTest } from "../support/peers.ts";

const NAME = "registry.test/team/app";
const storage = findPeer("versitygw") === undefined ? undefined : await startVersitygw();
globalThis.addEventListener("unload", () => storage?.kill());

const [first, second] = ["1", "2"].map((text) => buildImage({ files: { "a.txt": text, "b.bin": makeBytes(400_000) } }));

/** A bucket of its own, and two releases of a package, packed. */
async function openFixture() {
  const fixture = await createReleases(NAME, [first!, second!]);
  const prefix = crypto.randomUUID();
  const env = { HOME: fixture.folder.path, ...s3Environment(storage!) };
  const options = { env, cwd: fixture.folder.path };
  /** Runs crpe on a machine, which has a data folder of its own. */
  const run = (machine: string, ...args: string[]) =>
    runCrpe([...args, `--data=${machine}`, `--store=s3://${S3_BUCKET}/${prefix}`], options);
  const spawn = (machine: string, more: Readonly<Record<string, string>>, ...args: string[]) =>
    spawnCrpe([...args, `--data=${machine}`, `--store=s3://${S3_BUCKET}/${prefix}`], {
      ...options,
      env: { ...env, ...more },
    });
  const serve = (machine: string, command = "registry") =>
    startCrpe([
      ...[command, "--addr=127.0.0.1:0", "--offline", `--data=${machine}`],
      `--store=s3://${S3_BUCKET}/${prefix}`,
    ], options);
  return {
    path: fixture.folder.path,
    run,
    /** Runs crpe without the bucket. */
    runLocal: (...args: string[]) => runCrpe(args, options),
    spawn,
    serve,
    client: openS3Client(storage!, `${prefix}/`),
    [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
  };
}

peerTest("[103] a package is imported into a bucket, and all machines know it", ["versitygw", "skopeo"], async () => {
  await using fixture = await openFixture();
  const { run } = fixture;
  const planned = await run("a", "import", "--dry-run", "release1.tgz");
  assertEquals(
    [planned.code, (await Array.fromAsync(fixture.client.walk({ prefix: "" }))).length],
    [0, 0],
    planned.stderr,
  );
  const imported = await run("a", "import", "release1.tgz");
  assertEquals(imported.code, 0, imported.stderr);
  assertStringIncludes(imported.stdout, "installed line4@1.0.0");
  const again = await run("b", "import", "release1.tgz");
  assertEquals([again.code, again.stdout], [0, "line4@1.0.0 is installed already; nothing to do\n"], again.stderr);
  assertEquals((await run("b", "import", "release2.tgz")).code, 0);
  const older = await run("c", "import", "release1.tgz");
  assertEquals(older.code, 3, older.stderr);
  const history = JSON.parse((await run("a", "packages", "history", "line4", "--json")).stdout);
  const versions = history.map(
    ({ installed, kubepkg }: { installed: boolean; kubepkg: { spec: { version: string } } }) => {
      return [kubepkg.spec.version, installed];
    },
  );
  assertEquals(versions, [["2.0.0", true], ["1.0.0", false]]);

  await using crpe = await fixture.serve("d");
  await using tools = await ContainerTools.create();
  const { code, stderr } = await tools.skopeo([
    ...["copy", "--src-tls-verify=false", `docker://${crpe.url.slice("http://".length)}/${NAME}:2`],
    `dir:${tools.home}/pulled`,
  ]);
  assertEquals(code, 0, stderr);
  const manifest = await fetch(`${crpe.url}/v2/${NAME}/manifests/2`, {
    headers: { accept: MANIFEST_MEDIA_TYPES.join(", ") },
  });
  assertEquals(computeDigest(await manifest.bytes()), second!.root.digest);

  // The release that a rollback needs has no other user when its tag is gone.
  await fixture.client.remove(tagLinkPath(NAME, "1"));
  assertEquals((await run("c", "gc", "--untagged")).code, 0);
  const rolledBack = await run("c", "packages", "rollback", "line4");
  assertEquals(rolledBack.code, 0, rolledBack.stderr);
  const verified = await run("a", "verify");
  assertEquals([verified.code, verified.stderr], [0, ""], verified.stdout);
  assertMatch(verified.stdout, /^6 blobs, .*: no errors found\n$/);
  const removed = await run("b", "packages", "remove", "line4");
  assertEquals(removed.code, 0, removed.stderr);
  assertEquals(JSON.parse((await run("a", "packages", "--json")).stdout), []);
});

peerTest("[103] an agent takes packages into a bucket, and another one continues", ["versitygw"], async () => {
  await using fixture = await openFixture();
  const push = (agent: { readonly url: string }, data: string, bundle: string) =>
    fixture.runLocal(
      ...[
        "push",
        bundle,
        `--to=${agent.url}`,
        `--data=pusher`,
        "--insecure-http",
        `--token-file=${data}/kubepkg/.token`,
      ],
    );
  {
    await using agent = await fixture.serve("a", "agent");
    const pushed = await push(agent, "a", "release1.tgz");
    assertEquals(pushed.code, 0, pushed.stderr);
    const { digests } = await (await fetch(`${agent.url}/inventory`)).json();
    assertEquals(digests, [...first!.blobs.keys(), first!.root.digest].sort());
  }
  await using agent = await fixture.serve("b", "agent");
  const read = async () => {
    const packages: { spec: { version: string } }[] = await (await fetch(`${agent.url}/kubepkgs`)).json();
    return packages.map(({ spec }) => spec.version);
  };
  assertEquals(await read(), ["1.0.0"]);
  // What is imported on another machine shows at once in its API, and within a second in this one.
  assertEquals((await fixture.run("c", "import", "release2.tgz")).code, 0);
  for (let tries = 0; (await read())[0] !== "2.0.0"; tries++) {
    assert(tries < 50, "the agent does not see what was imported elsewhere");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const older = await push(agent, "b", "release1.tgz");
  assertEquals(older.code, 3, older.stderr);
  const blob = await fetch(`${agent.url}/v2/${NAME}/manifests/2`);
  assertEquals(computeDigest(await blob.bytes()), second!.root.digest);
});

peerTest("[103] images are saved from a bucket, and loaded into another one", ["versitygw"], async () => {
  await using fixture = await openFixture();
  await using other = await openFixture();
  assertEquals((await fixture.run("a", "import", "release1.tgz")).code, 0);
  const path = `${other.path}/images.tar`;
  const saved = await fixture.run("b", "save", `${NAME}:1`, "-o", path);
  assertEquals(saved.code, 0, saved.stderr);
  const loaded = await other.run("a", "load", path);
  assertEquals([loaded.code, loaded.stdout.split("  ")[0]], [0, `${NAME}:1@${first!.root.digest}`], loaded.stderr);
  const verified = await other.run("b", "verify");
  assertEquals([verified.code, verified.stdout.split(",")[0]], [0, "3 blobs"], verified.stdout);
});

peerTest("[103] two machines import releases at once, and one of them wins", ["versitygw"], async () => {
  await using fixture = await openFixture();
  const outcomes = await Promise.all([
    fixture.run("a", "import", "release1.tgz"),
    fixture.run("b", "import", "release2.tgz"),
  ]);
  // The second to get the lock is an upgrade, or is refused as a lower version.
  assertEquals(outcomes[1]!.code, 0, outcomes[1]!.stderr);
  assertEquals([0, 3].includes(outcomes[0]!.code), true, outcomes[0]!.stderr);
  const [installed] = JSON.parse((await fixture.run("c", "packages", "--json")).stdout);
  assertEquals(installed.spec.version, "2.0.0");
  const verified = await fixture.run("c", "verify");
  assertEquals(verified.code, 0, verified.stdout);
});

peerTest("[24] [103] an import into a bucket is killed at any moment, and resumes", ["versitygw"], async () => {
  const total = await countBytes();
  for (const part of [0.01, 0.6, 0.95, 0.98, 0.99, 0.995]) {
    await using fixture = await openFixture();
    await using proxy = startCountingProxy(storage!.url, { pace: 1024 });
    const importing = fixture.spawn("a", { AWS_ENDPOINT_URL: proxy.url }, "import", "release1.tgz");
    await proxy.reached(Math.floor(part * total));
    importing.kill("SIGKILL");
    const { code } = await importing.finished;
    assert(code !== 0, "it was not killed");
    const isTagged = await fixture.client.size(tagLinkPath(NAME, "1")) !== undefined;
    const verified = await fixture.run("b", "verify");
    assertEquals(verified.code, 0, verified.stdout);
    if (isTagged) {
      await using crpe = await fixture.serve("b");
      for (const digest of first!.blobs.keys()) {
        const blob = await fetch(`${crpe.url}/v2/${NAME}/blobs/${digest}`);
        assertEquals([blob.status, computeDigest(await blob.bytes())], [200, digest]);
      }
    } else assertEquals(JSON.parse((await fixture.run("b", "packages", "--json")).stdout), []);
    // A lock in the bucket outlives its holder by a minute. The test does not wait for that.
    await fixture.client.remove("crpe/records/lock");
    const resumed = await fixture.run("a", "import", "release1.tgz");
    assertEquals(resumed.code, 0, resumed.stderr);
    const complete = await fixture.run("b", "verify");
    assertEquals([complete.code, complete.stdout.split(",")[0]], [0, "3 blobs"], complete.stdout);
  }
});

/** Counts the bytes that the storage receives in an import. */
async function countBytes(): Promise<number> {
  await using fixture = await openFixture();
  await using proxy = startCountingProxy(storage!.url);
  const { code } = await fixture.spawn("a", { AWS_ENDPOINT_URL: proxy.url }, "import", "release1.tgz").finished;
  assertEquals(code, 0);
  return proxy.bytes;
}

peerTest("[103] verify finds what is broken in a bucket, and repairs it from a bundle", ["versitygw"], async () => {
  await using fixture = await openFixture();
  const { run, client } = fixture;
  assertEquals((await run("a", "import", "release1.tgz")).code, 0);
  const [layer] = [...first!.blobs.keys()].filter((digest) => digest !== first!.root.digest);
  const { bytes } = (await client.read(blobPath(layer!)))!;
  await client.write(blobPath(layer!), bytes.map((byte, i) => i === 0 ? byte ^ 1 : byte));
  await client.write(tagLinkPath(NAME, "1"), new TextEncoder().encode("sha256:12"));
  const found = await run("b", "verify", "--json");
  assertEquals(found.code, 4, found.stderr);
  const report = JSON.parse(found.stdout);
  assertEquals(report.broken.map((it: { digest: string }) => it.digest), [layer]);
  assertEquals(report.links.map((it: { image: string }) => it.image), [`${NAME}:1`]);
  {
    await using _lease = await takeCollectionLease(client);
    const early = await run("b", "verify", "--repair", "--from=release1.tgz", "--offline");
    assertEquals(early.code, 4, early.stderr);
    assertStringIncludes(early.stdout, `${layer}: its content does not match its digest; needed by`);
    assertStringIncludes(early.stdout, "it cannot be removed while a garbage collection is in progress");
    await client.write(tagLinkPath(NAME, "1"), new TextEncoder().encode("sha256:12"));
  }
  const repaired = await run("b", "verify", "--repair", "--from=release1.tgz", "--offline");
  assertEquals(repaired.code, 0, repaired.stdout + repaired.stderr);
  assertStringIncludes(repaired.stdout, "read from the bundle");
  const verified = await run("a", "verify");
  assertEquals(verified.code, 0, verified.stdout);
  assertEquals(computeDigest((await client.read(blobPath(layer!)))!.bytes), layer);
});
