import { openBundle } from "../../lib/page/assets/bundle_file.js";
import type { Digest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { blobPath } from "../../lib/store/layout.ts";
import { assertEquals, assertLess, assertStringIncludes } from "../support/assert.ts";
import { spawnCrpe, startCrpe } from "../support/crpe_process.ts";
import {
  createDeltaFixture,
  DELTA_REPO,
  deltaOf,
  makeAppImage,
  readWholeBundle,
  withDelta,
} from "../support/delta_fixture.ts";
import { blobsOf, writeImage } from "../support/put_image.ts";
import { Random } from "../support/random.ts";
import { peerTest } from "../support/peers.ts";

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What the page knows of a bundle. */
interface PageBundle {
  locate(digests: readonly Digest[]): Promise<Map<Digest, { at: number; size: number }>>;
  sliceOf(at: number, size: number): Blob;
}

type Fixture = Awaited<ReturnType<typeof createDeltaFixture>>;

let pair: Promise<Uint8Array[]> | undefined;

/** A fixture with the first version as `1.tgz`, and the second one, with a delta, as `2.tgz`. They are packed once. */
async function createPair(): Promise<Fixture> {
  const fixture = await createDeltaFixture();
  const pack = async () => {
    await fixture.packVersion(1, "1");
    await fixture.packVersion(2, "2", "--since=1.tgz");
    return await Promise.all(["1", "2"].map((name) => Deno.readFile(`${fixture.folder.path}/${name}.tgz`)));
  };
  const bundles = await (pair ??= pack());
  for (const [i, bytes] of bundles.entries()) await fixture.folder.write(`${i + 1}.tgz`, bytes);
  return fixture;
}

const sizeOf = async ({ folder }: Fixture, name: string) => (await Deno.stat(`${folder.path}/${name}`)).size;
/** The digest of the application's layer. */
const layerOf = (version: number) => [...makeAppImage(version).blobs.keys()][1]!;

/** Checks that a store has exactly the published bytes of a version. */
async function assertHolds(fixture: Fixture, version: number): Promise<void> {
  const store = new DiskStore(`${fixture.folder.path}/site`);
  const image = makeAppImage(version);
  assertEquals((await store.resolve(DELTA_REPO, `${version}`))?.digest, image.root.digest);
  for (const { digest, open } of blobsOf(image)) {
    const held = await store.openBlob(DELTA_REPO, digest);
    assertEquals(await new Response(held?.body).bytes(), await new Response(open()).bytes());
  }
}

peerTest("a changed layer crosses as a delta, and the site has the published bytes", ["gzip"], async () => {
  await using fixture = await createDeltaFixture({ versions: [1, 2, 3] });
  const { crpe, packVersion } = fixture;
  await packVersion(1, "1");
  await packVersion(2, "whole");
  const report = await packVersion(2, "2", "--since=1.tgz");
  assertEquals(report.deltas.count, 1);
  assertLess(await sizeOf(fixture, "2.tgz"), await sizeOf(fixture, "whole.tgz") / 10);
  // The same content and options give the same bytes.
  await packVersion(2, "again", "--since=1.tgz");
  assertEquals(
    await readWholeBundle(`${fixture.folder.path}/2.tgz`),
    await readWholeBundle(`${fixture.folder.path}/again.tgz`),
  );

  const inspected = JSON.parse((await crpe("inspect", "2.tgz", "--json")).stdout);
  assertEquals(inspected.deltas, report.deltas);
  assertStringIncludes((await crpe("inspect", "2.tgz")).stdout, "1 layer is a delta: ");
  assertEquals((await crpe("verify", "2.tgz")).code, 0);
  // The page sends a delta by its place in the file.
  const bytes = await Deno.readFile(`${fixture.folder.path}/2.tgz`);
  const carried = await readWholeBundle(`${fixture.folder.path}/2.tgz`);
  const { delta, size } = deltaOf(carried);
  const opened = await openBundle(new Blob([bytes])) as unknown as PageBundle;
  const place = (await opened.locate([delta])).get(delta)!;
  assertEquals(place.size, size);
  const sent = await opened.sliceOf(place.at, size).bytes();
  assertEquals(sent, carried.entries.find(({ name }) => name.startsWith("deltas/"))!.bytes);

  assertEquals((await crpe("import", "1.tgz", "--data=site")).code, 0);
  const { code, stderr } = await crpe("import", "2.tgz", "--data=site");
  assertEquals(code, 0, stderr);
  await assertHolds(fixture, 2);
  // The delta is not kept, and garbage collection keeps the rest.
  assertEquals(await new DiskStore(`${fixture.folder.path}/site`).statBlob("", delta), undefined);
  assertEquals((await crpe("gc", "--data=site")).code, 0);
  await assertHolds(fixture, 2);

  // A delta whose base came as a delta.
  await fixture.folder.write("site.json", (await crpe("inventory", "--data=site")).stdout);
  assertEquals((await packVersion(3, "3", "--have=site.json")).deltas.count, 1);
  assertEquals((await crpe("import", "3.tgz", "--data=site")).code, 0);
  await assertHolds(fixture, 3);
  assertEquals((await crpe("verify", "--data=site")).code, 0);
});

peerTest("push and PUT bring deltas to an agent", ["gzip"], async () => {
  for (const way of ["push", "push of a whole bundle", "PUT"]) {
    await using fixture = await createPair();
    const { crpe, packVersion, folder, processOptions } = fixture;
    await crpe("import", "1.tgz", "--data=site");
    await using agent = await startCrpe(["agent", "--addr=127.0.0.1:0", "--data=site"], processOptions);
    if (way === "push") await folder.write("site.json", (await crpe("inventory", `--to=${agent.url}`)).stdout);
    if (way !== "PUT") await packVersion(2, "2", ...way === "push" ? ["--have=site.json"] : []);
    const tokenFile = `${folder.path}/site/kubepkg/.token`;
    if (way !== "PUT") {
      const flags = [`--to=${agent.url}`, `--token-file=${tokenFile}`, "--data=source", "--json"];
      const pushed = await crpe("push", "2.tgz", ...flags);
      assertEquals(pushed.code, 0, pushed.stderr);
      assertLess(JSON.parse(pushed.stdout)[0].sent.bytes, makeAppImage(2).blobs.get(layerOf(2))!.length / 10);
      assertEquals(JSON.parse(pushed.stdout)[0].deltas?.count, way === "push" ? undefined : 1);
    } else {
      const response = await fetch(`${agent.url}/kubepkgs`, {
        method: "PUT",
        headers: { authorization: `Bearer ${(await Deno.readTextFile(tokenFile)).trim()}` },
        body: await Deno.readFile(`${folder.path}/2.tgz`),
      });
      assertEquals(response.status, 200, await response.text());
    }
    const layer = await fetch(`${agent.url}/v2/${DELTA_REPO}/blobs/${layerOf(2)}`);
    assertEquals(await layer.bytes(), makeAppImage(2).blobs.get(layerOf(2)));
    await assertHolds(fixture, 2);
  }
});

peerTest(
  "skopeo copies an image whose layer came as a delta, by its published digest",
  ["gzip", "skopeo"],
  async () => {
    await using fixture = await createPair();
    const { crpe, folder, processOptions } = fixture;
    for (const file of ["1.tgz", "2.tgz"]) assertEquals((await crpe("import", file, "--data=site")).code, 0);
    await using registry = await startCrpe(
      ["registry", "--addr=127.0.0.1:0", "--data=site", "--offline"],
      processOptions,
    );
    const name = `${new URL(registry.url).host}/${DELTA_REPO}@${makeAppImage(2).root.digest}`;
    const { code, stderr } = await new Deno.Command("skopeo", {
      args: ["copy", "--src-tls-verify=false", `docker://${name}`, `dir:${folder.path}/copy`],
      stderr: "piped",
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
  },
);

peerTest(
  "no delta is made for a site that does not know the models, with --no-delta, or across platforms",
  ["gzip"],
  async () => {
    await using fixture = await createPair();
    const { crpe, packVersion, folder, store } = fixture;
    await crpe("import", "1.tgz", "--data=site");
    const inventory = JSON.parse((await crpe("inventory", "--data=site")).stdout);
    await folder.write("old.json", JSON.stringify({ digests: inventory.digests }));
    await folder.write("lines.txt", inventory.digests.join("\n"));
    for (const flags of [["--have=old.json"], ["--have=lines.txt"], ["--since=1.tgz", "--no-delta"]]) {
      assertEquals((await packVersion(2, "plain", ...flags)).deltas, undefined, flags.join(" "));
    }
    await writeImage(store, `${DELTA_REPO}:4`, makeAppImage(4, { platform: "linux/arm64" }));
    assertEquals((await packVersion(4, "arm", "--since=1.tgz", "--platform=linux/arm64")).deltas, undefined);
    const { code, stderr } = await fixture.pack({}, "x", "--delta-effort=most");
    assertEquals(code, 2);
    assertStringIncludes(stderr, "write one of fast, normal, max");
  },
);

peerTest("[99] a base that is missing or corrupt is named, and nothing is written", ["gzip"], async () => {
  await using fixture = await createPair();
  const { crpe, folder } = fixture;
  const none = await crpe("import", "2.tgz", "--data=site");
  assertEquals(none.code, 1);
  assertStringIncludes(none.stderr, layerOf(1));

  assertEquals((await crpe("import", "1.tgz", "--data=site")).code, 0);
  const path = `${folder.path}/site/${blobPath(layerOf(1))}`;
  const intact = await Deno.readFile(path);
  const corrupt = intact.slice();
  corrupt[corrupt.length >> 1]! ^= 1;
  await Deno.writeFile(path, corrupt);
  const { code, stderr } = await crpe("import", "2.tgz", "--data=site");
  assertEquals(code, 1, stderr);
  assertStringIncludes(stderr, `its base ${layerOf(1)} is`);
  assertEquals(await new DiskStore(`${folder.path}/site`).resolve(DELTA_REPO, "2"), undefined);
  // The older release repairs the base, and then the delta is applied: it was kept.
  assertEquals((await crpe("import", "1.tgz", "--data=site")).code, 0);
  assertEquals((await crpe("import", "2.tgz", "--data=site")).code, 0);
  await assertHolds(fixture, 2);
});

peerTest("[99] a wrong delta is refused with exit status 4 or HTTP 422, and is not kept", ["gzip"], async () => {
  await using fixture = await createPair();
  const { crpe, folder, processOptions } = fixture;
  const bundle = await readWholeBundle(`${folder.path}/2.tgz`);
  const flip = (at: number) => (bytes: Uint8Array) => bytes.map((byte, i) => i === at ? byte ^ 1 : byte);
  const replace = (from: string, to: string) => (bytes: Uint8Array) => {
    const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    assertStringIncludes(text, from);
    return Uint8Array.from(text.replace(from, to), (char) => char.charCodeAt(0));
  };
  const { bases, plainSize: scratchSize } = deltaOf(bundle);
  // Tokens are copied from the base, whose compressed bytes count too.
  const plainSize = scratchSize - bases[0]!.size;
  const changes: Record<string, Parameters<typeof withDelta>[1]> = {
    "no delta": { bytes: () => new Uint8Array(5000) },
    "another version": { bytes: flip(7) },
    "cut": { bytes: (bytes) => bytes.subarray(0, bytes.length - 40) },
    "longer": { bytes: (bytes) => new Uint8Array([...bytes, 0]) },
    "a flipped bit in a section": { bytes: (bytes) => flip(bytes.length - 300)(bytes) },
    "another target": { bytes: replace(layerOf(2), layerOf(1)) },
    "a base with other plain bytes": { bytes: replace('"plainDigest":"sha256:', '"plainDigest":"sha256:0') },
    "more plain bytes": { bytes: replace(`"plainSize":${plainSize}`, `"plainSize":${plainSize + 1}`) },
    "a size without bounds": { bytes: replace('"plainSize":', '"plainSize":99999999') },
    "an unknown model": { bytes: replace('"model":{"id":"', '"model":{"id":"x') },
    "other bases than declared": { status: (delta) => ({ ...delta, bases: [...bases, ...bases] }) },
    "another plain size than declared": { status: (delta) => ({ ...delta, plainSize: delta.plainSize + 1 }) },
  };
  assertEquals((await crpe("import", "1.tgz", "--data=site")).code, 0);
  const before = await folder.listFiles("site/docker");
  await using agent = await startCrpe(["agent", "--addr=127.0.0.1:0", "--data=site"], processOptions);
  const token = (await Deno.readTextFile(`${folder.path}/site/kubepkg/.token`)).trim();
  for (const [i, [name, change]] of Object.entries(changes).entries()) {
    const bytes = withDelta(bundle, change);
    if (i === 0) {
      await Deno.writeFile(`${folder.path}/bad.tar`, bytes);
      const { code, stderr } = await crpe("import", "bad.tar", "--data=site");
      assertEquals(code, 4, `${name}: ${stderr}`);
      assertStringIncludes(stderr, "the site needs the full layer");
    }
    const response = await fetch(`${agent.url}/kubepkgs`, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}` },
      body: bytes.slice(),
    });
    const answer = await response.text();
    assertEquals(response.status, 422, `${name}: ${answer}`);
    assertStringIncludes(answer, "the site needs the full layer", name);
    // The config of the second version stays, because an import that failed resumes. The delta and its layer do not.
    const left = (await folder.listFiles("site/docker")).filter((file) => file.includes("/blobs/"));
    const config = [...makeAppImage(2).blobs.keys()][2]!;
    const more = left.filter((file) => !before.includes(file) && !file.includes(config.slice(7)));
    // What may be content of another package is left to garbage collection.
    const isForeign = name === "no delta" || name === "another target";
    assertEquals(more.length, isForeign ? 1 : 0, `${name}: ${more}`);
    if (isForeign) assertEquals((await crpe("gc", "--data=site")).code, 0);
    const kept = await folder.listFiles("site/docker");
    assertEquals(more.filter((file) => kept.includes(file)), [], name);
  }
  // The right delta still works.
  const { code, stderr } = await crpe("import", "2.tgz", "--data=site");
  assertEquals(code, 0, stderr);
  await assertHolds(fixture, 2);
});

peerTest(
  "[99] an import that is killed while it rebuilds a layer leaves nothing visible, and completes",
  ["gzip"],
  async () => {
    await using fixture = await createDeltaFixture({ count: 150 });
    const { crpe, packVersion, folder, processOptions } = fixture;
    await packVersion(1, "1");
    await packVersion(2, "2", "--since=1.tgz");
    assertEquals((await crpe("import", "1.tgz", "--data=site")).code, 0);
    const { delta } = deltaOf(await readWholeBundle(`${folder.path}/2.tgz`));
    const [, [layer, bytes]] = [...makeAppImage(2, { count: 150 }).blobs] as [unknown, [Digest, Uint8Array]];
    const site = () => new DiskStore(`${folder.path}/site`);
    const random = new Random(99);
    let killed = 0;
    for (let tries = 0; tries < 3; tries++) {
      const running = spawnCrpe(["import", "2.tgz", "--data=site"], processOptions);
      running.listening.catch(() => {});
      let isOver = false;
      running.finished.finally(() => isOver = true);
      while (!isOver && await site().statBlob("", delta) === undefined) await pause(2);
      await pause(random.below(60));
      if (!isOver) running.kill("SIGKILL");
      await running.finished;
      if (await site().resolve(DELTA_REPO, "2") !== undefined) break;
      killed++;
      // The layer may be complete already; then it is right, which verify checks in the end.
      assertEquals((await crpe("gc", "--data=site", "--dry-run")).code, 0);
    }
    console.log(`killed ${killed} times`);
    const { code, stderr } = await crpe("import", "2.tgz", "--data=site");
    assertEquals(code, 0, stderr);
    assertEquals(await site().statBlob("", delta), undefined);
    assertEquals(await site().statBlob("", layer), bytes.length);
    const verified = await crpe("verify", "--data=site");
    assertEquals(verified.code, 0, verified.stdout + verified.stderr);
  },
);
