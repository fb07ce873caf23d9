import { gunzipSync } from "node:zlib";
import { inspectBundle } from "../../../lib/bundle/inspect_bundle.ts";
import { packBundle } from "../../support/pack_bundle.ts";
import { DigestMismatchError } from "../../../lib/content/verifier.ts";
import { PLATFORMS_ANNOTATION } from "../../../lib/kubepkg/kubepkg.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { NoSpaceError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { makeBlob, streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import {
  digestsIn,
  fillStore,
  makeImage,
  makeKubePkg,
  makeUsualImage,
  pack,
  run,
  withFolder,
} from "./bundle_support.ts";
import { peerTest } from "../../support/peers.ts";
import { TestFolder } from "../../support/test_folder.ts";

const IMAGES = { "registry.lan:5000/team/app:1.2": makeUsualImage(), "nginx:1": makeUsualImage(7) };
const NAMES = { "registry.lan:5000/team/app:1.2": "", "nginx:1": "" };

async function toolTest(work: (folder: string) => Promise<void>): Promise<void> {
  const { bytes } = await pack(makeKubePkg(NAMES), await fillStore(new MemoryStore(), IMAGES));
  await withFolder(async (folder) => {
    await Deno.writeFile(`${folder}/a.tgz`, bytes);
    await Deno.writeFile(`${folder}/a.tar`, new Uint8Array(gunzipSync(bytes)));
    await work(folder);
  });
}

peerTest("packBundle() writes kubepkg.json first, then the image layout's documents, then children before parents", [
  "gunzip",
  "tar",
], async () => {
  await toolTest(async (folder) => {
    await run("gunzip", ["-t", "a.tgz"], folder);
    const names = (await run("tar", ["tzf", "a.tgz"], folder)).trim().split("\n");
    assertEquals(names.slice(0, 3), ["kubepkg.json", "oci-layout", "index.json"]);
    assertEquals(new Set(names).size, names.length);
    await run("tar", ["xzf", "a.tgz"], folder);
    const at = (digest: string) => names.indexOf(`blobs/${digest.replace(":", "/")}`);
    for (const image of Object.values(IMAGES)) {
      const [amd, arm, index] = image.manifests.map(({ descriptor }) => at(descriptor.digest)) as [
        number,
        number,
        number,
      ];
      assert(amd > 0 && amd < arm && arm < index);
      for (const { descriptor } of image.blobs) assert(at(descriptor.digest) < index);
      for (const { bytes, descriptor } of [...image.blobs, ...image.manifests]) {
        assertEquals(
          computeDigest(await Deno.readFile(`${folder}/blobs/${descriptor.digest.replace(":", "/")}`)),
          computeDigest(bytes),
        );
      }
    }
    assertEquals(JSON.parse(await Deno.readTextFile(`${folder}/oci-layout`)), { imageLayoutVersion: "1.0.0" });
    const { mediaType, digest, size } = IMAGES["nginx:1"].root.descriptor;
    assertEquals(JSON.parse(await Deno.readTextFile(`${folder}/index.json`)).manifests[0], {
      mediaType,
      digest,
      size,
      annotations: {
        "org.opencontainers.image.ref.name": "1",
        "io.containerd.image.name": "docker.io/library/nginx:1",
      },
    });
  });
});

Deno.test("packBundle() fills in digests, status and platforms", async () => {
  const { result } = await pack(makeKubePkg(NAMES), await fillStore(new MemoryStore(), IMAGES), { hashOutput: true });
  const { kubepkg } = result;
  assertEquals(kubepkg.spec.images, {
    "registry.lan:5000/team/app:1.2": IMAGES["registry.lan:5000/team/app:1.2"].root.descriptor.digest,
    "nginx:1": IMAGES["nginx:1"].root.descriptor.digest,
  });
  assertEquals(kubepkg.metadata.annotations, { [PLATFORMS_ANNOTATION]: "linux/amd64,linux/arm64" });
  const tagged = kubepkg.status?.digests?.filter(({ tag }) => tag !== undefined);
  assertEquals(tagged?.map(({ name, tag, type }) => [name, tag, type]), [
    ["docker.io/library/nginx", "1", "manifest"],
    ["registry.lan:5000/team/app", "1.2", "manifest"],
  ]);
  assertEquals(result.images.map(({ platforms }) => platforms), [["linux/amd64", "linux/arm64"], [
    "linux/amd64",
    "linux/arm64",
  ]]);
});

Deno.test("packBundle() writes the same bytes for the same inputs, and returns their size and digest", async () => {
  const first = await pack(makeKubePkg(NAMES), await fillStore(new MemoryStore(), IMAGES), { hashOutput: true });
  const store = await fillStore(new MemoryStore(), IMAGES);
  store.chunkSize = 999;
  const totals = new Set<number | undefined>();
  let last = 0;
  const again = await pack(makeKubePkg({ "nginx:1": "", "registry.lan:5000/team/app:1.2": "" }), store, {
    onProgress: ({ bytes, total }) => {
      totals.add(total);
      assert(bytes >= last);
      last = bytes;
    },
  });
  // The package keeps the order of its images. Everything after kubepkg.json is the same.
  assertEquals((await digestsIn(again.bytes)).join(), (await digestsIn(first.bytes)).join());
  assertEquals(first.result.size, first.bytes.length);
  assertEquals(first.result.tgzDigest, computeDigest(first.bytes));
  assertEquals([...totals], [again.bytes.length]);
  const third = await pack(makeKubePkg(NAMES), store);
  assertEquals(computeDigest(third.bytes), computeDigest(first.bytes));
  assertEquals(store.openBodies, 0);
});

for (const name of ["app:1.2", "nginx:1"]) {
  const tag = name.split(":")[1] ?? "";
  peerTest(
    `packBundle() writes an archive from which skopeo reads ${name}`,
    ["skopeo"],
    () =>
      toolTest(async (folder) => {
        const source = `oci-archive:${folder}/a.tar:${tag}`;
        const root = name === "nginx:1" ? IMAGES["nginx:1"].root : IMAGES["registry.lan:5000/team/app:1.2"].root;
        assertEquals(computeDigest(await run("skopeo", ["inspect", "--raw", source])), root.descriptor.digest);
        const inspected = JSON.parse(
          await run("skopeo", ["inspect", "--override-arch", "arm64", "--override-os", "linux", source]),
        );
        assertEquals([inspected.Architecture, inspected.Layers.length], ["arm64", 2]);
        await run("skopeo", ["copy", "-q", "--all", "--insecure-policy", source, `dir:${folder}/out`]);
        // Also without gunzip.
        const packed = `oci-archive:${folder}/a.tgz:${tag}`;
        assertEquals(computeDigest(await run("skopeo", ["inspect", "--raw", packed])), root.descriptor.digest);
      }),
  );
}

peerTest(
  "packBundle() writes a tar that Python's tarfile reads",
  ["python3"],
  () =>
    toolTest(async (folder) => {
      const script =
        "import tarfile; [print(m.name, m.size, m.mode, m.mtime, m.uid, m.uname) for m in tarfile.open('a.tgz')]";
      const [first, ...rest] = (await run("python3", ["-c", script], folder)).trim().split("\n");
      assertStringIncludes(first ?? "", "kubepkg.json ");
      assert(rest.length > 10);
      for (const line of rest) assertMatch(line, /^\S+ \d+ 420 0 0 ?$/);
      const unpack = "import gzip; open('b.tar', 'wb').write(gzip.open('a.tgz').read())";
      await run("python3", ["-c", unpack], folder);
      assertEquals(await Deno.readFile(`${folder}/b.tar`), await Deno.readFile(`${folder}/a.tar`));
    }),
);

Deno.test("packBundle() uses a given digest, and does not resolve the tag", async () => {
  const image = makeUsualImage();
  const store = await fillStore(new MemoryStore(), { "app:1": image, "app:2": makeUsualImage(5) });
  const { result } = await pack(
    makeKubePkg({ "app:2": image.root.descriptor.digest, "app:gone": image.root.descriptor.digest }),
    store,
  );
  assertEquals(result.images.map(({ reference, digest }) => [reference, digest]), [
    ["docker.io/library/app:2", image.root.descriptor.digest],
    ["docker.io/library/app:gone", image.root.descriptor.digest],
  ]);
});

Deno.test("packBundle() resolves a name without a tag as latest, and uses a digest in the name", async () => {
  const [image, other] = [makeUsualImage(), makeUsualImage(5)];
  const store = await fillStore(new MemoryStore(), { "app:latest": image, "app:2": other });
  const { result } = await pack(makeKubePkg({ app: "", [`app@${other.root.descriptor.digest}`]: "" }), store);
  assertEquals(result.images.map(({ digest }) => digest), [image.root.descriptor.digest, other.root.descriptor.digest]);
});

Deno.test("packBundle() leaves out content that the site holds", async () => {
  const store = await fillStore(new MemoryStore(), IMAGES);
  const full = await pack(makeKubePkg(NAMES), store);
  const have = new Set<Digest>([
    ...IMAGES["nginx:1"].blobs.map(({ descriptor }) => descriptor.digest),
    computeDigest("unrelated"),
  ]);
  const { bytes, result } = await pack(makeKubePkg(NAMES), store, { have });
  const digests = await digestsIn(bytes);
  assert(digests.every((digest) => !have.has(digest)));
  assertEquals(result.kubepkg.status?.digests, full.result.kubepkg.status?.digests);
  assertEquals(new Set([...digests, ...result.kubepkg.status?.omitted ?? []]), new Set(await digestsIn(full.bytes)));
  assertEquals(result.blobs.omitted, 5);
  const [info] = await inspectBundle(streamOf(bytes));
  assertEquals([info?.omitted.count, info?.blobs.count], [5, full.result.blobs.count]);
});

Deno.test("packBundle() without images packs only the Kubernetes manifests", async () => {
  const { bytes, result } = await pack(makeKubePkg({}), new MemoryStore());
  assertEquals([result.images, result.platforms, await digestsIn(bytes)], [[], [], []]);
});

const image = makeImage("linux/amd64", [makeBlob(1000)]);
const [config, layer] = image.blobs as [typeof image.root, typeof image.root];

/** Serves other bytes for some digests. */
class CorruptStore extends MemoryStore {
  corrupted = new Map<Digest, Uint8Array<ArrayBuffer>>();
  override async openBlob(repo: string, digest: Digest) {
    const bytes = this.corrupted.get(digest);
    if (bytes === undefined) return await super.openBlob(repo, digest);
    return { size: bytes.length, start: 0, length: bytes.length, body: streamOf(bytes) };
  }
}

Deno.test("packBundle() gives up each chunk of a blob that it has written", async () => {
  await using folder = await TestFolder.create();
  const large = makeImage("linux/amd64", [makeBlob(5_000_000)]);
  const store = new DiskStore(folder.path);
  for (const { descriptor, bytes } of large.blobs) await store.writeBlob("app", descriptor, streamOf(bytes));
  await store.writeManifest("app", large.root.descriptor, large.root.bytes);
  await store.tag("app", "1", large.root.descriptor.digest);
  // The config is read whole, and its memory is not lent.
  const chunks: Uint8Array[] = [];
  const { openBlob } = store;
  store.openBlob = async (...args) => {
    const blob = await openBlob.apply(store, args);
    const noted = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        if (chunk.length > 100_000) chunks.push(chunk);
        controller.enqueue(chunk);
      },
    });
    return blob && { ...blob, body: blob.body.pipeThrough(noted) };
  };
  await pack(makeKubePkg({ "app:1": "" }), store);
  assert(chunks.length >= 5);
  assertEquals(chunks.filter(({ length }) => length > 0), []);
});

const FAILURES: readonly [string, (store: CorruptStore) => void, string][] = [
  [
    "another blob of the same size",
    (store) => store.corrupted.set(layer.descriptor.digest, layer.bytes.with(5, 1 + (layer.bytes[5] ?? 0))),
    "the content has digest",
  ],
  [
    "a blob that is too short",
    (store) => store.corrupted.set(layer.descriptor.digest, layer.bytes.slice(1)),
    "received 999 of 1000 bytes",
  ],
  [
    "a blob that is too long",
    (store) => store.corrupted.set(layer.descriptor.digest, new Uint8Array(2000)),
    "more than the 1000 bytes",
  ],
  [
    "another config",
    (store) => store.corrupted.set(config.descriptor.digest, config.bytes.with(2, 0)),
    "the content has digest",
  ],
];

for (const [title, corrupt, message] of FAILURES) {
  Deno.test(`packBundle() verifies the content that it packs: ${title}`, async () => {
    const store = new CorruptStore();
    await fillStore(store, { "app:1": image });
    corrupt(store);
    const error = await assertRejects(() => pack(makeKubePkg({ "app:1": "" }), store), DigestMismatchError);
    const advice = "; run crpe verify to see what is broken";
    for (const part of ["Cannot pack docker.io/library/app:1: ", message, advice]) {
      assertStringIncludes(error.message, part);
    }
    assertEquals(store.openBodies, 0);
  });
}

Deno.test("packBundle() names every image that needs a broken blob, and no other", async () => {
  const store = new CorruptStore();
  const other = makeImage("linux/amd64", [makeBlob(500, 8)]);
  await fillStore(store, { "app:1": image, "app:2": other, "b:3": image });
  store.corrupted.set(layer.descriptor.digest, layer.bytes.with(5, 1 + (layer.bytes[5] ?? 0)));
  const { message } = await assertRejects(
    () => pack(makeKubePkg({ "app:1": "", "app:2": "", "b:3": "" }), store),
    DigestMismatchError,
  );
  assertStringIncludes(message, "Cannot pack docker.io/library/app:1, docker.io/library/b:3: ");
});

Deno.test("packBundle() names a missing image or blob", async () => {
  const store = new MemoryStore();
  await assertRejects(
    () => pack(makeKubePkg({ "app:1": "" }), store),
    Error,
    "Cannot pack docker.io/library/app:1: the image was not found",
  );
  await fillStore(store, { "app:1": { ...image, blobs: [config] } });
  await assertRejects(
    () => pack(makeKubePkg({ "app:1": "" }), store),
    Error,
    `its blob ${layer.descriptor.digest} was not found`,
  );
  assertEquals(store.openBodies, 0);
});

Deno.test("packBundle() throws the error of a blob that fails while it is read, and leaves nothing open", async () => {
  const store = await fillStore(new MemoryStore(), { "app:1": makeImage("linux/amd64", [makeBlob(300_000)]) });
  store.failAt = { position: 100_000, error: new Error("disk is gone") };
  await assertRejects(() => pack(makeKubePkg({ "app:1": "" }), store), Error, "disk is gone");
  assertEquals(store.openBodies, 0);
});

Deno.test("packBundle() stops when the disk is full, and leaves nothing open", async () => {
  const store = await fillStore(new MemoryStore(), { "app:1": makeImage("linux/amd64", [makeBlob(5_000_000)]) });
  let left = 2_000_000;
  const sink = {
    write: (bytes: Uint8Array) =>
      (left -= bytes.length) < 0 ? Promise.reject(new NoSpaceError("full")) : Promise.resolve(),
  };
  await assertRejects(() => packBundle(makeKubePkg({ "app:1": "" }), store, { output: sink }), NoSpaceError);
  assertEquals(store.openBodies, 0);
});
