import { packDeltaBundle } from "../../support/delta_bundle.ts";
import { declaredDeltas } from "../../../lib/bundle/declared_deltas.ts";
import type { Scratch } from "../../../lib/bytes/scratch.ts";
import { planBlobs } from "../../../lib/install/plan_blobs.ts";
import type { StatusDelta } from "../../../lib/kubepkg/kubepkg.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { CorruptError, IncompleteError, NoSpaceError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { blobPath } from "../../../lib/store/layout.ts";
import { assert, assertEquals, assertGreater, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import {
  DELTA_REPO,
  type DeltaChange,
  deltaOf,
  makeAppFiles,
  type OpenedBundle,
  withDelta,
} from "../../support/delta_fixture.ts";
import { buildImage } from "../../support/images.ts";
import { writeImage } from "../../support/put_image.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { importBundle, type ImportOptions } from "./import_support.ts";

// The zlib of the tests is described with corrections: a delta is a fifth of its layer.
const packed = await packDeltaBundle();
const IMAGES = packed.images;
const layerOf = (version: number) => [...IMAGES[version - 1]!.blobs.keys()][0]!;

/** A folder with a site that has the first version, and the bundle for it. */
async function createFixture() {
  const { bytes, bundle } = packed;
  const folder = await TestFolder.create();
  const site = new DiskStore(`${folder.path}/site`);
  await writeImage(site, `${DELTA_REPO}:1`, IMAGES[0]!);
  return {
    folder,
    site,
    bundle,
    delta: deltaOf(bundle),
    import: (options: ImportOptions = {}, of: Uint8Array = bytes, into: DiskStore = site) =>
      importBundle(new Blob([of.slice()]).stream(), into, options),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

async function assertRebuilt(site: DiskStore, delta: StatusDelta): Promise<void> {
  const layer = await site.openBlob(DELTA_REPO, layerOf(2));
  assertEquals(await new Response(layer?.body).bytes(), IMAGES[1]!.blobs.get(layerOf(2)));
  assertEquals((await site.resolve(DELTA_REPO, "2"))?.digest, IMAGES[1]!.root.digest);
  assertEquals(await site.statBlob("", delta.delta), undefined);
}

Deno.test("the plan of an import counts the delta, the layer and the temporary file", async () => {
  await using fixture = await createFixture();
  const { delta, site } = fixture;
  const { plan } = await fixture.import({ dryRun: true });
  const layer = IMAGES[1]!.blobs.get(layerOf(2))!.length;
  const others = [...IMAGES[1]!.blobs].filter(([digest]) => digest !== layerOf(2))
    .reduce((sum, [, { length }]) => sum + length, IMAGES[1]!.root.size);
  assertEquals(plan.blobs.bytesToWrite, others + layer + delta.size);
  assertEquals(plan.blobs.temporaryBytes, delta.plainSize);
  assertGreater(delta.plainSize, layer);
  const needed = plan.blobs.bytesToWrite + delta.plainSize;
  await assertRejects(
    () => fixture.import({ freeBytes: () => Promise.resolve(needed - 1) }),
    NoSpaceError,
    "1 B are missing",
  );
  assertEquals(await site.statBlob("", delta.delta), undefined);
  const { blobs } = await fixture.import({ freeBytes: () => Promise.resolve(needed) });
  assertEquals(blobs.bytesWritten, others + layer);
  await assertRebuilt(site, delta);
});

Deno.test("a bundle with a delta repairs nothing where the layer is in place", async () => {
  await using fixture = await createFixture();
  const { site, delta } = fixture;
  await writeImage(site, `${DELTA_REPO}:2`, IMAGES[1]!);
  const { plan, blobs } = await fixture.import();
  assertEquals({ toWrite: plan.blobs.toWrite, written: blobs.written, skipped: blobs.skipped }, {
    ...{ toWrite: 0, written: 0, skipped: 3 },
  });
  await assertRebuilt(site, delta);
});

Deno.test("[99] a missing base, and a model that is not known, are refused before anything is written", async () => {
  await using fixture = await createFixture();
  const { bundle, folder, delta } = fixture;
  const empty = new DiskStore(`${folder.path}/empty`);
  const missing = await assertRejects(() => fixture.import({}, undefined, empty), IncompleteError, "--no-delta");
  assertEquals(missing.missing, [layerOf(1)]);
  const unknown = withDelta(bundle, { status: (it) => ({ ...it, model: "lzma/9" }) });
  assertEquals((await assertRejects(() => fixture.import({}, unknown), IncompleteError)).missing, [layerOf(2)]);
  assertEquals(await fixture.site.statBlob("", delta.delta), undefined);
  assertEquals((await folder.listFiles("empty").catch(() => [])).length, 0);
});

Deno.test("[99] a base that is removed after the plan is named, and the delta is kept", async () => {
  await using fixture = await createFixture();
  const { site, delta, folder } = fixture;
  const path = `${folder.path}/site/${blobPath(layerOf(1))}`;
  const onRead = () => Deno.rename(path, `${path}.away`);
  const error = await assertRejects(() => fixture.import({ onRead }), IncompleteError, `${layerOf(1)} is missing`);
  assertEquals(error.missing, [layerOf(1)]);
  assertEquals(await site.statBlob("", delta.delta), delta.size);
  assertEquals(await site.resolve(DELTA_REPO, "2"), undefined);
  await Deno.rename(`${path}.away`, path);
  await fixture.import();
  await assertRebuilt(site, delta);
});

/** A store whose disk is full after some bytes of a temporary file. */
class FullStore extends DiskStore {
  room = 1000;

  override async openScratch(): Promise<Scratch> {
    const scratch = await super.openScratch();
    const append = scratch.append.bind(scratch);
    scratch.append = (bytes) => {
      if (scratch.size + bytes.length > this.room) throw new NoSpaceError("Cannot write: no space left");
      append(bytes);
    };
    return scratch;
  }
}

Deno.test("[99] a full disk for the temporary file ends the import, and the next one completes", async () => {
  await using fixture = await createFixture();
  const { delta, folder } = fixture;
  const site = new FullStore(`${folder.path}/site`);
  await assertRejects(() => fixture.import({}, undefined, site), NoSpaceError);
  assertEquals(await site.resolve(DELTA_REPO, "2"), undefined);
  assertEquals(await site.statBlob("", layerOf(2)), undefined);
  assertEquals((await folder.listFiles("site/ingest")).filter((file) => file !== "writers.lock"), []);
  site.room = Infinity;
  await fixture.import({}, undefined, site);
  await assertRebuilt(site, delta);
});

Deno.test("[99] a bundle that is cut within a delta keeps what was received, and the next import completes", async () => {
  await using fixture = await createFixture();
  const { bundle, delta, site } = fixture;
  const whole = withDelta(bundle, {});
  const at = new TextDecoder("latin1").decode(whole).indexOf("deltas/") + 512;
  for (const cut of [at - 1, at + 1, at + Math.floor(delta.size / 2), at + delta.size - 1]) {
    await assertRejects(() => fixture.import({}, whole.subarray(0, cut)), CorruptError);
    assertEquals(await site.resolve(DELTA_REPO, "2"), undefined);
  }
  await fixture.import({}, whole);
  await assertRebuilt(site, delta);
});

type Status = (delta: StatusDelta, bundle: OpenedBundle) => Partial<StatusDelta>;
const OTHER = layerOf(1).replace(/.{8}$/, "00000000") as Digest;
const WRONG: Readonly<Record<string, Status>> = {
  "no bases": () => ({ bases: [] }),
  "itself as its base": ({ digest }) => ({ bases: [{ digest, size: 1 }] }),
  "too many bases": ({ bases }) => ({ bases: Array(129).fill(bases[0]) }),
  "a layer that is not declared": () => ({ digest: OTHER }),
  "a manifest as its layer": (_, { kubepkg }) => ({
    digest: kubepkg.status!.digests!.find(({ type }) => type === "manifest")!.digest,
  }),
  "the digest of other content": (_, { kubepkg }) => ({ delta: kubepkg.status!.digests![0]!.digest }),
  "another size than its entry": ({ size }) => ({ size: size + 1 }),
  "another digest than its entry": () => ({ delta: OTHER }),
};

for (const [title, change] of Object.entries(WRONG)) {
  Deno.test(`[99] a delta that is declared with ${title} is refused`, async () => {
    await using fixture = await createFixture();
    const { bundle, site, delta } = fixture;
    const changed = withDelta(bundle, { status: (it) => ({ ...it, ...change(it, bundle) }) });
    const error = await assertRejects(() => fixture.import({}, changed), CorruptError);
    assertStringIncludes(error.message, "Cannot ");
    assert(await site.statBlob("", layerOf(2)) === undefined && await site.statBlob("", delta.delta) === undefined);
  });
}

for (const isHeld of [true, false]) {
  Deno.test(`[99] a layer of another package that is named as a delta stays, where the layer is ${isHeld ? "held" : "missing"}`, async () => {
    await using fixture = await createFixture();
    const { bundle, site, folder } = fixture;
    const other = buildImage({ files: makeAppFiles(7, 8) });
    await writeImage(site, "registry.test/other:1", other);
    const [[victim, bytes]] = other.blobs as unknown as [[Digest, Uint8Array]];
    if (isHeld) await writeImage(site, `${DELTA_REPO}:2`, IMAGES[1]!);
    const named = withDelta(bundle, { status: (it) => ({ ...it, delta: victim, size: bytes.length }) });
    await fixture.import({ force: true }, named).catch(() => {});
    assertEquals(await site.statBlob("", victim), bytes.length);
    assertEquals(await Deno.readFile(`${folder.path}/site/${blobPath(victim)}`), bytes);
  });
}

/** A store into which another import writes a blob after this one has found that it is missing. */
class BusyStore extends DiskStore {
  digest: Digest | undefined;
  onIngest = () => Promise.resolve();

  override async openIngest(digest: Digest) {
    if (digest === this.digest) await this.onIngest();
    return await super.openIngest(digest);
  }
}

Deno.test("[99] a layer that another import has written meanwhile, and that is named as a delta, stays", async () => {
  await using fixture = await createFixture();
  const { bundle, folder } = fixture;
  const other = buildImage({ files: makeAppFiles(7, 8) });
  const [[victim, bytes]] = other.blobs as unknown as [[Digest, Uint8Array]];
  const site = new BusyStore(`${folder.path}/site`);
  site.digest = victim;
  site.onIngest = () => writeImage(fixture.site, "registry.test/other:1", other);
  const named = withDelta(bundle, { bytes: () => bytes });
  await assertRejects(() => fixture.import({}, named, site), CorruptError, "does not rebuild it");
  assertEquals(await Deno.readFile(`${folder.path}/site/${blobPath(victim)}`), bytes);
});

const BROKEN: readonly (readonly [what: string, change: DeltaChange, why: string])[] = [
  [
    "a file that is no delta",
    { bytes: () => new Uint8Array(64).fill(65) },
    "cannot apply the delta: it does not begin like a delta)",
  ],
  ["a delta with a flipped bit", { bytes: flipLast }, "cannot "],
  [
    "a delta that is declared with another size",
    { status: (it) => ({ ...it, plainSize: it.plainSize + 1 }) },
    "its header is not what the package declares)",
  ],
];
for (const [what, change, why] of BROKEN) {
  Deno.test(`[99] the error for ${what} is one sentence, with the reason as a part of it`, async () => {
    await using fixture = await createFixture();
    const changed = withDelta(fixture.bundle, change);
    const { message } = await assertRejects(() => fixture.import({}, changed), CorruptError);
    assertStringIncludes(message, `the delta for the layer ${layerOf(2)} does not rebuild it (${why}`);
    assertStringIncludes(message, "); the site needs the full layer: pack it with --no-delta");
  });
}

function flipLast(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte, i) => i === bytes.length - 1 ? byte ^ 1 : byte);
}

Deno.test("[99] a delta whose header is not what its package declares is not kept", async () => {
  await using fixture = await createFixture();
  const { bundle, site, delta } = fixture;
  const changed = withDelta(bundle, { status: (it) => ({ ...it, plainSize: it.plainSize + 1 }) });
  await assertRejects(() => fixture.import({}, changed), CorruptError, "is not what the package declares");
  assertEquals(await site.statBlob("", delta.delta), undefined);
});

Deno.test("[99] a file of another size in the place of the layer does not keep its delta out", async () => {
  await using fixture = await createFixture();
  const { site, delta, folder } = fixture;
  const path = `${folder.path}/site/${blobPath(layerOf(2))}`;
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  await Deno.writeFile(path, IMAGES[1]!.blobs.get(layerOf(2))!.subarray(0, 1000));
  await fixture.import();
  await assertRebuilt(site, delta);
});

Deno.test("a plan names a base of several deltas once, and at most 100 images that need it", async () => {
  await using fixture = await createFixture();
  const { bundle, folder, delta } = fixture;
  const empty = new DiskStore(`${folder.path}/empty`);
  const { kubepkg } = bundle;
  const images = Object.fromEntries(
    Array.from({ length: 150 }, (_, i) => [`${DELTA_REPO}:${i}`, IMAGES[1]!.root.digest]),
  );
  const layers = Array.from({ length: 3 }, (_, i) => ({
    ...kubepkg.status!.digests!.find(({ digest }) => digest === delta.digest)!,
    digest: computeDigest(`layer ${i}`),
  }));
  const deltas = layers.map(({ digest }, i) => ({ ...delta, digest, delta: computeDigest(`delta ${i}`) }));
  const status = { ...kubepkg.status, digests: [...kubepkg.status!.digests!, ...layers], deltas };
  const { missing } = await planBlobs({ ...kubepkg, spec: { ...kubepkg.spec, images }, status }, {
    statBlob: (digest) => empty.statBlob("", digest),
    countBytes: (_, size) => Promise.resolve(size),
  });
  assertEquals(missing.map(({ digest }) => digest), delta.bases.map(({ digest }) => digest));
  assertEquals(missing[0]!.images.length, 100);
});

Deno.test("a package whose deltas need very many bases is refused", async () => {
  const { bundle } = packed;
  const delta = deltaOf(bundle);
  const bases = Array.from({ length: 128 }, (_, i) => ({ digest: computeDigest(`base ${i}`), size: 1 }));
  const deltas = Array.from({ length: 129 }, () => ({ ...delta, bases }));
  const kubepkg = { ...bundle.kubepkg, status: { ...bundle.kubepkg.status, deltas } };
  await assertRejects(
    () => Promise.resolve().then(() => declaredDeltas([kubepkg])),
    CorruptError,
    "more than 16384 bases",
  );
});
