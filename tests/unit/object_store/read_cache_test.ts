import { SharedFiles } from "../../../lib/bytes/shared_files.ts";
import { ReadCache } from "../../../lib/object_store/read_cache.ts";
import { assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { type Content, makeBlob, readAll, streamOf } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const [a, b, c] = [makeBlob(400, 1), makeBlob(400, 2), makeBlob(400, 3)];
const large = makeBlob(600, 4);

class TestCache {
  readonly warnings: string[] = [];
  readonly folder: string;
  cache!: ReadCache;

  private constructor(folder: string) {
    this.folder = `${folder}/read-cache`;
  }

  static async open({ path }: TestFolder): Promise<TestCache> {
    const opened = new TestCache(path);
    const warn = (message: string) => void opened.warnings.push(message);
    opened.cache = await ReadCache.open({ folder: opened.folder, maxBytes: 1000, files: new SharedFiles(), warn });
    return opened;
  }

  /** Copies blobs, one after the other. */
  async fill(...blobs: Content[]): Promise<void> {
    for (const { descriptor: { digest, size }, bytes } of blobs) {
      await this.cache.fill(digest, size, () => Promise.resolve(streamOf(bytes)));
    }
  }

  async list(): Promise<string[]> {
    return await Array.fromAsync(Deno.readDir(this.folder), ({ name }) => name).catch(() => []);
  }

  async has(...blobs: Content[]): Promise<boolean[]> {
    return await Promise.all(blobs.map(async ({ descriptor: { digest }, bytes }) => {
      const opened = await this.cache.read(digest);
      if (opened === undefined) return false;
      assertEquals(await readAll(opened), bytes);
      return true;
    }));
  }
}

Deno.test("[103] ReadCache removes the least recently used copies, and takes no blob larger than half of it", async () => {
  await using folder = await TestFolder.create();
  const test = await TestCache.open(folder);
  await test.fill(a, b);
  assertEquals(await test.has(a, b, large), [true, true, false]);
  assertEquals(await test.has(a), [true]);
  await test.fill(c, large);
  assertEquals(await test.has(a, b, c, large), [true, false, true, false]);
  assertEquals([(await test.list()).length, test.warnings], [2, []]);
});

Deno.test("[103] ReadCache has after a restart what it had, without unfinished copies", async () => {
  await using folder = await TestFolder.create();
  await (await TestCache.open(folder)).fill(a, b);
  const path = `${folder.path}/read-cache`;
  await Deno.writeFile(`${path}/${crypto.randomUUID()}.tmp`, a.bytes);
  const again = await TestCache.open(folder);
  assertEquals([await again.has(a, b), (await again.list()).length], [[true, true], 2]);
  await Deno.remove(path, { recursive: true });
  assertEquals(await again.has(a), [false], "someone has removed it");
  await again.fill(a);
  assertEquals(await again.has(a), [true]);
});

Deno.test("[103] ReadCache keeps no corrupt copy, and warns once", async () => {
  await using folder = await TestFolder.create();
  const test = await TestCache.open(folder);
  for (const wrong of [b.bytes, a.bytes.slice(1)]) {
    await test.cache.fill(a.descriptor.digest, 400, () => Promise.resolve(streamOf(wrong)));
  }
  assertEquals([await test.has(a), await test.list(), test.warnings.length], [[false], [], 1]);
  assertStringIncludes(test.warnings[0]!, "Cannot copy a blob of the bucket to the disk");
});

Deno.test("[103] ReadCache takes over a file", async () => {
  await using folder = await TestFolder.create();
  const test = await TestCache.open(folder);
  const path = `${folder.path}/download`;
  await Deno.writeFile(path, large.bytes);
  assertEquals(await test.cache.adopt(large.descriptor.digest, path, 600), false);
  await Deno.writeFile(path, a.bytes);
  assertEquals(await test.cache.adopt(a.descriptor.digest, path, 400), true);
  assertEquals(await test.has(a), [true]);
});

Deno.test("[103] ReadCache ends its copies when it is closed", async () => {
  await using folder = await TestFolder.create();
  const test = await TestCache.open(folder);
  const endless = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(1)) });
  const filling = test.cache.fill(a.descriptor.digest, 400, () => Promise.resolve(endless));
  await test.cache.close();
  await filling;
  assertEquals([await test.list(), test.warnings], [[], []]);
});
