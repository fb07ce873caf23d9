import { SharedRecords } from "../../../lib/install/records/shared_records.ts";
import { BucketRecords } from "../../../lib/object_store/bucket_records.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { MemoryS3 } from "../../support/memory_s3.ts";
import { TestFolder } from "../../support/test_folder.ts";

const INDEX = "pre/crpe/records/index.json";

/** A bucket, and machines that share its records. */
class Site implements AsyncDisposable {
  readonly s3 = new MemoryS3();
  readonly #folder: TestFolder;

  private constructor(folder: TestFolder) {
    this.#folder = folder;
  }

  static async create(): Promise<Site> {
    return new Site(await TestFolder.create());
  }

  /** A machine. Its records are read again whenever `refresh` is called. */
  machine(name: string, { isShared = true } = {}): Machine {
    const folder = `${this.#folder.path}/${name}`;
    const records = new BucketRecords({
      ...{ client: this.s3.client(), name: "s3://bucket", isShared },
      delay: () => new Promise((resolve) => setTimeout(resolve, 1)),
    });
    return new Machine(folder, new SharedRecords(folder, records));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#folder[Symbol.asyncDispose]();
  }
}

class Machine {
  readonly records: SharedRecords;
  readonly #folder: string;

  constructor(folder: string, records: SharedRecords) {
    this.#folder = folder;
    this.records = records;
  }

  /** Changes a record, or removes it. */
  async write(name: string, text: string | undefined): Promise<void> {
    const path = `${this.#folder}/kubepkg/${name}`;
    await this.records.change(path, async () => {
      await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      if (text === undefined) await Deno.remove(path);
      else await Deno.writeTextFile(path, text);
    });
  }

  read(name: string): Promise<string | undefined> {
    return Deno.readTextFile(`${this.#folder}/kubepkg/${name}`).catch(() => undefined);
  }
}

Deno.test("[103] SharedRecords gives what one machine has written to the others, once a second", async () => {
  await using site = await Site.create();
  const [a, b] = [site.machine("a"), site.machine("b")];
  await b.records.refresh();
  assertEquals(await Array.fromAsync(site.s3.objects.keys()), []);
  await a.write("web/current.json", "1");
  {
    await using _lock = await b.records.lock();
    assertEquals(await b.read("web/current.json"), "1");
    await b.write("web/current.json", "2");
    await b.write("shop/current.json", "3");
  }
  const c = site.machine("c");
  await c.records.refresh();
  assertEquals([await c.read("web/current.json"), await c.read("shop/current.json")], ["2", "3"]);
  await b.write("web/current.json", undefined);
  const d = site.machine("d");
  await d.records.refresh();
  assertEquals([await d.read("web/current.json"), await d.read("shop/current.json")], [undefined, "3"]);
  // The index, the lock, and the content of one record: what was replaced is removed.
  assertEquals([...site.s3.objects.keys()].length, 3);
});

Deno.test("[103] SharedRecords removes from the copy what another machine has removed", async () => {
  await using site = await Site.create();
  const a = site.machine("a");
  await a.write("web/current.json", "1");
  const again = site.machine("b");
  await again.records.refresh();
  await a.write("web/current.json", undefined);
  const b = site.machine("b");
  await b.records.refresh();
  assertEquals(await b.read("web/current.json"), undefined);
});

Deno.test("[103] SharedRecords refuses to overwrite what another machine has changed", async () => {
  await using site = await Site.create();
  const [a, b] = [site.machine("a"), site.machine("b")];
  {
    await using _lock = await a.records.lock();
    await a.write("web/current.json", "1");
  }
  {
    await using _lock = await b.records.lock();
    await b.write("web/current.json", "2");
  }
  // Its copy is older than what is in the bucket.
  await assertRejects(() => a.write("web/current.json", "3"), Error, "another machine has changed web/current.json");
  const c = site.machine("c");
  await c.records.refresh();
  assertEquals(await c.read("web/current.json"), "2");
  await a.records.refresh();
  assertEquals(await a.read("web/current.json"), "2");
});

Deno.test("[103] SharedRecords refuses a change of a copy that may be outdated", async () => {
  await using site = await Site.create();
  const a = site.machine("a");
  await a.write("web/pending.json", "1");
  await site.machine("b").records.refresh();
  await a.write("web/pending.json", "2");
  // A process that starts while another one of its machine installs has no right to make the copy current.
  const b = site.machine("b");
  for (let attempt = 0; attempt < 2; attempt++) {
    const write = () => b.write("web/pending.json", "3");
    await assertRejects(write, Error, "another machine has changed web/pending.json");
  }
  await b.records.refresh();
  assertEquals(await b.read("web/pending.json"), "2");
  await b.write("web/pending.json", "3");
});

Deno.test("[103] SharedRecords removes a record although the response to that is lost", async () => {
  await using site = await Site.create();
  const a = site.machine("a");
  await using _lock = await a.records.lock();
  await a.write("web/current.json", "1");
  site.s3.intercept = async (request) => {
    if (request.method !== "PUT" || !request.url.endsWith("index.json")) return undefined;
    site.s3.intercept = () => undefined;
    await site.s3.fetch(request);
    throw new TypeError("connection reset");
  };
  await a.write("web/current.json", undefined);
  const b = site.machine("b");
  await b.records.refresh();
  assertEquals(await b.read("web/current.json"), undefined);
  assertEquals([...site.s3.objects.keys()].filter((key) => key.includes("/files/")), []);
});

Deno.test("[103] SharedRecords keeps records larger than other responses may be, for their owner alone", async () => {
  await using site = await Site.create();
  const text = "x".repeat(9 * 1024 * 1024);
  await site.machine("a").write("web/current.json", text);
  const b = site.machine("b");
  await b.records.refresh();
  assertEquals(await b.read("web/current.json") === text, true);
  assertEquals((await Deno.stat(`${b.records.folder}/kubepkg`)).mode! & 0o777, 0o700);
});

Deno.test("[103] SharedRecords.lock() is exclusive between machines", async () => {
  await using site = await Site.create();
  const machines = ["a", "b", "c"].map((name) => site.machine(name));
  let holders = 0;
  await Promise.all(machines.map(async ({ records }, i) => {
    await using _lock = await records.lock();
    assertEquals(++holders, 1);
    await machines[i]!.write("web/current.json", `${i}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    holders--;
  }));
  const last = site.machine("d");
  await last.records.refresh();
  assertEquals(["0", "1", "2"].includes((await last.read("web/current.json"))!), true);
});

for (
  const [what, entry] of [
    ["a path out of the folder", { "../token": { digest: `sha256:${"0".repeat(64)}`, object: crypto.randomUUID() } }],
    ["an absolute path", { "/etc/passwd": { digest: `sha256:${"0".repeat(64)}`, object: crypto.randomUUID() } }],
    ["no digest", { "web/current.json": { digest: "sha256:1", object: crypto.randomUUID() } }],
    ["an object out of the folder", { "web/current.json": { digest: `sha256:${"0".repeat(64)}`, object: "../x" } }],
  ] as const
) {
  Deno.test(`[103] SharedRecords refuses an index with ${what}`, async () => {
    await using site = await Site.create();
    const { records } = site.machine("a");
    await site.s3.client().write(
      INDEX.slice("pre/".length),
      new TextEncoder().encode(JSON.stringify({ records: entry })),
    );
    await assertRejects(() => records.refresh(), Error, "is not valid");
  });
}

Deno.test("[103] SharedRecords refuses changes where the storage ignores conditions", async () => {
  await using site = await Site.create();
  const a = site.machine("a", { isShared: false });
  await assertRejects(() => a.records.lock(), Error, "ignores the conditions of writes");
  await assertRejects(() => a.write("web/current.json", "1"), Error, "ignores the conditions of writes");
  assertEquals([...site.s3.objects.keys()], []);
});
