import { parseSize } from "../../lib/cli/console/quantity.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { createAgentFixture, IMAGE_REPO } from "../support/agent_fixture.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { chooseFile, startBrowser } from "../support/browser.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { type LargeBlob, makeLargeLayer } from "../support/large_blob.ts";
import { peerTest } from "../support/peers.ts";
import { measureTree } from "../support/process_tree.ts";
import { writeImage } from "../support/put_image.ts";

const MiB = 1024 * 1024;
// The size of the bundle; half of it is missing at the agent. 8GiB takes 16 GiB on the disk.
const SIZE = parseSize(Deno.env.get("CRPE_PAGE_FILE") ?? "1GiB", "CRPE_PAGE_FILE");
const MAX_GROWTH = 256 * MiB;
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

peerTest(
  "page: of a large file in the browser only what is missing is read, and memory does not grow with it",
  ["chromium"],
  async () => {
    await using fixture = await createAgentFixture();
    const { path } = fixture.folder;
    const [held, missing] = [1, 2].map((seed) => makeLargeLayer(SIZE / 2, seed)) as [LargeBlob, LargeBlob];
    const images = { base: buildImage({ largeLayer: held }), app: buildImage({ largeLayer: missing }) };
    const source = new DiskStore(`${path}/source`);
    for (const [tag, image] of Object.entries(images)) await writeImage(source, `${IMAGE_REPO}:${tag}`, image);
    const kubepkg = makeKubePkg(Object.fromEntries(Object.keys(images).map((tag) => [`${IMAGE_REPO}:${tag}`, ""])));
    await fixture.folder.write("large.json", JSON.stringify(kubepkg));
    const packed = await fixture.crpe("pack", "large.json", "-o", "large.tgz", "--data=source", "--offline");
    assertEquals(packed.code, 0, packed.stderr);
    await Deno.remove(`${path}/source`, { recursive: true });
    await writeImage(new DiskStore(`${path}/site`), `${IMAGE_REPO}:base`, images.base);

    await using agent = await fixture.startAgent();
    await using browser = await startBrowser();
    const { page, problems } = await browser.open();
    await page.addInitScript(COUNT_READS);
    await page.goto(agent.url);
    await page.getByLabel("Token").fill((await Deno.readTextFile(fixture.tokenFile)).trim());
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("link", { name: "Install from a file" }).click();
    const before = measureTree(browser.pid);
    await chooseFile(page, "#bundle", `${path}/large.tgz`);
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
    const done = page.getByText("line4 1.0.0 is installed.");
    const end = done.or(page.getByRole("alert"));
    await page.getByRole("button", { name: "Install", exact: true }).click();
    do {
      await sample();
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MILLISECONDS));
    } while (!await end.first().isVisible());
    assertEquals(await page.getByRole("alert").allInnerTexts(), []);

    const counts = await page.evaluate<{ sliced: number; slices: number; whole: number }>("counts");
    const { size } = await Deno.stat(`${path}/large.tgz`);
    const inMiB = (bytes: number) => `${Math.round(bytes / MiB)} MiB`;
    console.log(
      `file ${inMiB(size)}, missing ${inMiB(missing.size)}, sliced ${
        inMiB(counts.sliced)
      } in ${counts.slices} slices; ` +
        `at most ${inMiB(memory)} more memory of the browser and ${inMiB(heap)} of JavaScript in ${samples} samples; ` +
        `read by system calls ${inMiB(measureTree(browser.pid).read - before.read)}`,
    );
    assert(samples > 3, `${samples} samples`);
    assertEquals(counts.whole, 0, "the file is never taken whole");
    assert(counts.sliced <= 1.05 * missing.size, `${counts.sliced} bytes of slices for ${missing.size}`);
    assert(counts.sliced >= missing.size, `${counts.sliced} bytes of slices for ${missing.size}`);
    assert(memory < MAX_GROWTH, `${inMiB(memory)} more memory`);
    assert(heap < MAX_HEAP, `${inMiB(heap)} of JavaScript`);
    assertEquals(problems, []);
  },
);
