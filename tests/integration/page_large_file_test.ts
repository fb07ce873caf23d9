import { parseSize } from "../../lib/cli/console/quantity.ts";
import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { blobPath } from "../../lib/store/layout.ts";
import { createAgentFixture, IMAGE_REPO } from "../support/agent_fixture.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { chooseFile, startBrowser } from "../support/browser.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { type LargeBlob, makeLargeLayer } from "../support/large_blob.ts";
import { peerTest } from "../support/peers.ts";
import { measureTree } from "../support/process_tree.ts";
import { writeImage } from "../support/put_image.ts";
import { formatTarHeader, TAR_END, tarPadding } from "../support/tar.ts";

type Fixture = Awaited<ReturnType<typeof createAgentFixture>>;

const MiB = 1024 * 1024;
// Half of each is missing at the agent. A packed bundle takes twice its size on the disk.
const PACKED_BYTES = parseSize(Deno.env.get("CRPE_PAGE_FILE") ?? "512MiB", "CRPE_PAGE_FILE");
const SPARSE_BYTES = 8 * 1024 * MiB;
// An agent that lacks more of the 8 GiB needs as much room on the disk, twice.
const SPARSE_MISSING_BYTES = parseSize(Deno.env.get("CRPE_PAGE_MISSING") ?? "256MiB", "CRPE_PAGE_MISSING");
const MAX_GROWTH = 224 * MiB;
const MAX_OTHER_READS = 128 * MiB;
const MAX_HEAP = 64 * MiB;
const SAMPLE_MILLISECONDS = 200;

// Counts what is taken from a file: the bytes of slices, and uses of the whole file.
const COUNT_READS = `(() => {
  const counts = globalThis.counts = { sliced: 0, slices: 0, whole: 0 };
  const { slice } = Blob.prototype;
  Blob.prototype.slice = function (from = 0, to = this.size, ...more) {
    if (this instanceof File) {
      counts.sliced += Math.max(0, Math.min(to, this.size) - from);
      counts.slices++;
    }
    return slice.call(this, from, to, ...more);
  };
  for (const name of ["arrayBuffer", "bytes", "stream", "text"]) {
    const read = Blob.prototype[name];
    Blob.prototype[name] = function () {
      if (this instanceof File) counts.whole++;
      return read.call(this);
    };
  }
  const { send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.send = function (body) {
    if (body instanceof File) counts.whole++;
    return send.call(this, body);
  };
})()`;

/** A bundle, and how many of its bytes the agent does not have. */
interface LargeBundle {
  readonly file: string;
  readonly missing: number;
}

/** Packs a bundle of two images, and writes one of them into the store of the agent. */
async function packBundle({ folder, crpe }: Fixture): Promise<LargeBundle> {
  const { path } = folder;
  const [held, missing] = [1, 2].map((seed) => makeLargeLayer(PACKED_BYTES / 2, seed)) as [LargeBlob, LargeBlob];
  const images = { base: buildImage({ largeLayer: held }), app: buildImage({ largeLayer: missing }) };
  const source = new DiskStore(`${path}/source`);
  for (const [tag, image] of Object.entries(images)) await writeImage(source, `${IMAGE_REPO}:${tag}`, image);
  const kubepkg = makeKubePkg(Object.fromEntries(Object.keys(images).map((tag) => [`${IMAGE_REPO}:${tag}`, ""])));
  await folder.write("large.json", JSON.stringify(kubepkg));
  const packed = await crpe("pack", "large.json", "-o", "large.tgz", "--data=source", "--offline");
  assertEquals(packed.code, 0, packed.stderr);
  await Deno.remove(`${path}/source`, { recursive: true });
  await writeImage(new DiskStore(`${path}/site`), `${IMAGE_REPO}:base`, images.base);
  return { file: `${path}/large.tgz`, missing: missing.size };
}

/**
 * Writes a tar of 8 GiB with the layout of a bundle, as other programs unpack and write it. The layer that the agent has is a
 * hole, there and in the store: it is not read.
 */
async function writeSparseTar({ folder: { path } }: Fixture): Promise<LargeBundle> {
  const missing = makeLargeLayer(SPARSE_MISSING_BYTES);
  const held: LargeBlob = {
    digest: computeDigest(new TextEncoder().encode("a hole")),
    size: SPARSE_BYTES - missing.size - MiB,
    open: () => {
      throw new Error("the layer is a hole");
    },
  };
  const images = [buildImage({ largeLayer: missing }), buildImage({ largeLayer: held })];
  const tags = ["app", "base"];
  const lines = images.flatMap(({ manifests, blobs, largeBlobs }, i) => [
    ...[...blobs].map(([digest, { length: size }]) => ({ type: "blob", digest, size })),
    ...[...largeBlobs.values()].map(({ digest, size }) => ({ type: "blob", digest, size })),
    ...manifests.map(({ descriptor: { digest, size } }) => ({ type: "manifest", digest, size, tag: tags[i] })),
  ]);
  const kubepkg = makeKubePkg(
    Object.fromEntries(images.map(({ root }, i) => [`${IMAGE_REPO}:${tags[i]}`, root.digest])),
  );
  const document = {
    ...kubepkg,
    status: { digests: lines.map((line) => ({ ...line, name: IMAGE_REPO, platform: "linux/amd64" })) },
  };
  const file = `${path}/large.tar`;
  using tar = await Deno.open(file, { write: true, createNew: true });
  const add = async (name: string, size: number, write: (to: Deno.FsFile) => Promise<unknown>) => {
    await tar.write(formatTarHeader({ path: name, size }));
    const start = await tar.seek(0, Deno.SeekMode.Current);
    await write(tar);
    await tar.seek(start + size + tarPadding(size), Deno.SeekMode.Start);
  };
  const json = new TextEncoder().encode(JSON.stringify(document));
  await add("kubepkg.json", json.length, (to) => to.write(json));
  const pathOf = (digest: Digest) => `blobs/${digest.replace(":", "/")}`;
  await add(pathOf(held.digest), held.size, () => Promise.resolve());
  for (const [digest, bytes] of images.flatMap(({ blobs }) => [...blobs])) {
    await add(pathOf(digest), bytes.length, (to) => to.write(bytes));
  }
  for (const { descriptor: { digest, size }, bytes } of images.flatMap(({ manifests }) => manifests)) {
    await add(pathOf(digest), size, (to) => to.write(bytes));
  }
  await add(pathOf(missing.digest), missing.size, async (to) => {
    for await (const chunk of missing.open()) await to.write(chunk);
  });
  await tar.write(TAR_END);
  const blob = `${path}/site/${blobPath(held.digest)}`;
  await Deno.mkdir(blob.slice(0, blob.lastIndexOf("/")), { recursive: true });
  await Deno.writeFile(blob, new Uint8Array());
  await Deno.truncate(blob, held.size);
  return { file, missing: missing.size };
}

const FILES = { "a bundle of 512 MiB": packBundle, "a tar of 8 GiB": writeSparseTar };

for (const [what, create] of Object.entries(FILES)) {
  peerTest(
    `page: of ${what} in the browser only what is missing is read, and memory does not grow with it`,
    ["chromium"],
    async () => {
      await using fixture = await createAgentFixture();
      const { file, missing } = await create(fixture);
      await using agent = await fixture.startAgent();
      await using browser = await startBrowser({ isOwn: true });
      const { page, problems } = await browser.open();
      await page.addInitScript(COUNT_READS);
      await page.goto(agent.url);
      await page.getByLabel("Token").fill((await Deno.readTextFile(fixture.tokenFile)).trim());
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("link", { name: "Install from a file" }).click();
      const before = measureTree(browser.pid);
      await chooseFile(page, "#bundle", file);
      await page.locator(".figures").getByText("first install").waitFor();
      const session = await page.context().newCDPSession(page);
      await session.send("Performance.enable");
      let [memory, heap, samples] = [0, 0, 0];
      const sample = async () => {
        const { metrics } = await session.send("Performance.getMetrics");
        heap = Math.max(heap, metrics.find(({ name }) => name === "JSHeapUsedSize")!.value);
        memory = Math.max(memory, measureTree(browser.pid).memory - before.memory);
        samples++;
      };
      const end = page.getByText("line4 1.0.0 is installed.").or(page.getByRole("alert"));
      await page.getByRole("button", { name: "Install", exact: true }).click();
      do {
        await sample();
        await new Promise((resolve) => setTimeout(resolve, SAMPLE_MILLISECONDS));
      } while (!await end.first().isVisible());
      assertEquals(await page.getByRole("alert").allInnerTexts(), []);

      const counts = await page.evaluate<{ sliced: number; slices: number; whole: number }>("counts");
      const { size } = await Deno.stat(file);
      const read = measureTree(browser.pid).read - before.read;
      const inMiB = (bytes: number) => `${Math.round(bytes / MiB)} MiB`;
      console.log(
        `file ${inMiB(size)}, missing ${inMiB(missing)}, sliced ${inMiB(counts.sliced)} in ${counts.slices} slices; ` +
          `at most ${inMiB(memory)} more memory of the browser and ${
            inMiB(heap)
          } of JavaScript in ${samples} samples; ` +
          `read by system calls ${inMiB(read)}`,
      );
      assert(samples > 3, `${samples} samples`);
      assertEquals(
        counts.whole,
        what.includes("tar") ? 1 : 0,
        "the file is not taken whole, but for the start of a tar",
      );
      assert(counts.sliced <= 1.05 * missing, `${counts.sliced} bytes of slices for ${missing}`);
      assert(counts.sliced >= missing, `${counts.sliced} bytes of slices for ${missing}`);
      // Whatever the page asked for: the browser's other files and pipes are in it.
      assert(read < missing + MAX_OTHER_READS, `${inMiB(read)} read for ${inMiB(missing)}`);
      assert(memory < MAX_GROWTH, `${inMiB(memory)} more memory`);
      assert(heap < MAX_HEAP, `${inMiB(heap)} of JavaScript`);
      assertEquals(problems, []);
    },
  );
}
