import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { blobPath, partialPath } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertLess, assertStringIncludes } from "../support/assert.ts";
import { until } from "../support/cache_fixture.ts";
import { makeBytes } from "../support/content.ts";
import { runCrpe, spawnCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { TestFolder } from "../support/test_folder.ts";

const MIB = 1024 * 1024;
const LAYERS = [6, 5, 7].map((size, i) => makeBytes(size * MIB + i, 40 + i));
const TOTAL = LAYERS.reduce((sum, { length }) => sum + length, 0);
// The bytes that a killed pack had received but not written yet: the buffer being filled, the buffer being written, the
// read-ahead, and what the download holds back.
const IN_FLIGHT = 5 * MIB;

async function createFixture() {
  const folder = await TestFolder.create();
  const upstream = startFaultUpstream();
  const { layers } = upstream.addImage("team/web", "1", LAYERS);
  await folder.write("web.json", JSON.stringify(makeKubePkg({ "up.test/team/web:1": "" })));
  const processOptions = { env: { HOME: folder.path }, cwd: folder.path };
  const args = (data: string, ...flags: string[]) => {
    return ["pack", "web.json", `--data=${data}`, `--upstream=up.test=${upstream.url}`, "--quiet", ...flags];
  };
  const sizeOf = async (name: string) => (await Deno.stat(`${folder.path}/${name}`).catch(() => undefined))?.size ?? 0;
  const pack = async (data: string, ...flags: string[]) => await runCrpe(args(data, ...flags), processOptions);
  const undisturbed = await pack("first", "-o", "undisturbed.tgz");
  assertEquals(undisturbed.code, 0, undisturbed.stderr);
  return {
    folder,
    upstream,
    layers,
    pack,
    sizeOf,
    spawn: (data: string, ...flags: string[]) => spawnCrpe(args(data, ...flags), processOptions),
    /** The requests for a blob, without the first `from` requests of all. */
    asked: (digest: Digest, from: number) =>
      upstream.requests.slice(from).filter(({ kind, path }) => kind === "blob" && path.endsWith(digest)),
    /** How many bytes of the bundle's files are written, complete or partial. */
    async written() {
      const names = (await folder.listFiles()).filter((name) => /^\.?out\./.test(name));
      return (await Promise.all(names.map(sizeOf))).reduce((sum, size) => sum + size, 0);
    },
    async check(name: string) {
      const read = async (name: string) => computeDigest(await Deno.readFile(`${folder.path}/${name}`));
      assertEquals(await read(name), await read("undisturbed.tgz"));
      assertEquals((await folder.listFiles()).filter((name) => /^\.[^/]*\.partial$/.test(name)), []);
    },
    async [Symbol.asyncDispose]() {
      await upstream[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

type ResumeFixture = Awaited<ReturnType<typeof createFixture>>;

/**
 * Kills a pack when the layers before, and `at` bytes of a layer, are in the store and, except for the last `IN_FLIGHT`, in
 * the bundle.
 */
async function killAt(
  fixture: ResumeFixture,
  { layer, at, data, flags = [] }: { layer: number; at: number; data: string; flags?: readonly string[] },
) {
  const { digest } = fixture.layers[layer]!;
  const download = `${data}/${partialPath(digest, "up.test/team/web")}`;
  const stallAfter = at - await fixture.sizeOf(download);
  fixture.upstream.fail({ kind: "blob", method: "GET", path: digest, times: 1, stallAfter });
  await using crpe = fixture.spawn(data, "-o", "out.tgz", ...flags);
  const from = fixture.upstream.requests.length;
  await until(`layer ${layer} is requested`, () => fixture.asked(digest, from).length > 0);
  await until(`byte ${at} of layer ${layer} is received`, async () => await fixture.sizeOf(download) >= at);
  await until(`byte ${at} of layer ${layer} is in the bundle`, async () => {
    return await fixture.written() >= sizeBefore(layer) + at - IN_FLIGHT;
  });
  // The pack requests a layer when it has received the one before, of which the last bytes may not be written yet.
  for (const { digest } of fixture.layers.slice(0, layer)) {
    await until(`${digest} is stored`, async () => await fixture.sizeOf(`${data}/${blobPath(digest)}`) > 0);
  }
  crpe.kill("SIGKILL");
  await crpe.finished;
  fixture.upstream.heal();
}

function sizeBefore(layer: number): number {
  return LAYERS.slice(0, layer).reduce((sum, { length }) => sum + length, 0);
}

Deno.test("[8] a pack that is killed repeatedly resumes, and requests each byte from the upstream once", async () => {
  await using fixture = await createFixture();
  const { upstream } = fixture;
  const [from, sent] = [upstream.requests.length, upstream.bodyBytes];
  const kills = [[0, 0], [0, 5 * MIB], [1, 3 * MIB], [2, 10], [2, 6 * MIB]] as const;
  for (const [layer, at] of kills) {
    await killAt(fixture, { layer, at, data: "data" });
    assertEquals(await fixture.sizeOf("out.tgz"), 0);
  }
  const partial = await fixture.sizeOf(".out.tgz.partial");
  assert(partial >= TOTAL - MIB - IN_FLIGHT, `${partial}`);
  const { code, stdout, stderr } = await fixture.pack("data", "-o", "out.tgz", "--json");
  assertEquals(code, 0, stderr);
  const { resumed, size } = JSON.parse(stdout);
  assert(resumed >= partial - 13 && resumed <= partial, `${resumed} of ${partial}`);
  assertEquals(size, await fixture.sizeOf("out.tgz"));
  await fixture.check("out.tgz");
  assertLess(upstream.bodyBytes - sent, 1.01 * TOTAL);
  const gets = fixture.layers.map(({ digest }) =>
    fixture.asked(digest, from).filter(({ method }) => method === "GET").length
  );
  assertEquals(gets, [3, 2, 3]);
});

Deno.test("[8] a resumed pack does not request the blobs that its partial file contains", async () => {
  await using fixture = await createFixture();
  await killAt(fixture, { layer: 2, at: 6 * MIB, data: "data" });
  const from = fixture.upstream.requests.length;
  const { code, stderr } = await fixture.pack("fresh", "-o", "out.tgz");
  assertEquals(code, 0, stderr);
  await fixture.check("out.tgz");
  const [one, two, three] = fixture.layers.map(({ digest }) => fixture.asked(digest, from).length);
  assertEquals([one, two], [0, 0]);
  assert(three! > 0);
});

Deno.test("a pack resumes from the intact start of a damaged partial file, and not from another package's", async () => {
  await using fixture = await createFixture();
  const { folder } = fixture;
  await killAt(fixture, { layer: 2, at: 6 * MIB, data: "data" });
  const partial = `${folder.path}/.out.tgz.partial`;
  const bytes = await Deno.readFile(partial);
  // A byte of the second layer.
  bytes[8 * MIB]! ^= 1;
  await Deno.writeFile(partial, bytes);
  const from = fixture.upstream.requests.length;
  const again = await fixture.pack("fresh", "-o", "out.tgz", "--json");
  assertEquals(again.code, 0, again.stderr);
  assert(JSON.parse(again.stdout).resumed > 6 * MIB);
  assertEquals(fixture.asked(fixture.layers[0]!.digest, from), []);
  await fixture.check("out.tgz");

  await Deno.writeFile(partial, bytes);
  await folder.write("web.json", JSON.stringify(makeKubePkg({ "up.test/team/web:1": "" }, { version: "2.0.0" })));
  const other = await fixture.pack("fresh", "-o", "out.tgz", "--json");
  assertEquals(other.code, 0);
  assertEquals(JSON.parse(other.stdout).resumed, 0);
  await fixture.pack("fresh", "-o", "undisturbed.tgz");
  await fixture.check("out.tgz");
});

Deno.test("[4] a pack whose upstream fails keeps its partial file, reports it, and resumes when the upstream is back", async () => {
  await using fixture = await createFixture();
  const { digest } = fixture.layers[2]!;
  fixture.upstream.fail({ kind: "blob", path: digest, status: 403 });
  const failed = await fixture.pack("data", "-o", "out.tgz");
  assertEquals({ code: failed.code, stdout: failed.stdout }, { code: 1, stdout: "" });
  assertStringIncludes(failed.stderr, "crpe: the data packed so far (1");
  assertEquals(failed.stderr.trim().split("\n").length, 2);
  assertEquals((await fixture.folder.listFiles()).filter((name) => name.includes("out.tgz")), [".out.tgz.partial"]);
  fixture.upstream.heal();
  const { code, stdout } = await fixture.pack("data", "-o", "out.tgz", "--json");
  assertEquals(code, 0);
  assert(JSON.parse(stdout).resumed > 9 * MIB, stdout);
  await fixture.check("out.tgz");
});

Deno.test("[10] a pack that receives wrong content leaves no file", async () => {
  await using fixture = await createFixture();
  const { digest } = fixture.layers[1]!;
  fixture.upstream.fail({ kind: "blob", path: digest, wrongBytes: true });
  const { code, stderr } = await fixture.pack("data", "-o", "out.tgz");
  assertEquals(code, 4, stderr);
  assertEquals((await fixture.folder.listFiles()).filter((name) => name.includes("out.tgz")), []);
});

Deno.test("[8] a killed pack into parts resumes in the part that it was writing, and leaves the earlier parts alone", async () => {
  await using fixture = await createFixture();
  const { folder, pack } = fixture;
  const flags = ["--split=4MiB"];
  const whole = await pack("first", "-o", "whole.tgz", ...flags, "--json");
  assertEquals(whole.code, 0, whole.stderr);
  const { parts, size } = JSON.parse(whole.stdout);
  assertEquals(parts.length, 5);

  for (const [layer, at] of [[0, 5 * MIB], [2, 3 * MIB]] as const) {
    await killAt(fixture, { layer, at, data: "data", flags });
  }
  const written = (await folder.listFiles()).filter((name) => name.includes("out."));
  assert(written.includes("out.part1of5.tgz") && written.includes("out.part2of5.tgz"), written.join());
  const { ino } = await Deno.stat(`${folder.path}/out.part1of5.tgz`);
  const from = fixture.upstream.requests.length;
  const { code, stdout, stderr } = await pack("fresh", "-o", "out.tgz", ...flags, "--json");
  assertEquals(code, 0, stderr);
  assertEquals(fixture.asked(fixture.layers[0]!.digest, from), []);
  assertEquals((await Deno.stat(`${folder.path}/out.part1of5.tgz`)).ino, ino);
  const packed = JSON.parse(stdout);
  assertEquals(packed.size, size);
  assertEquals(
    packed.parts.map(({ number, size, tgzDigest }: Record<string, unknown>) => ({ number, size, tgzDigest })),
    parts.map(({ number, size, tgzDigest }: Record<string, unknown>) => ({ number, size, tgzDigest })),
  );
  for (const { file, tgzDigest } of packed.parts) {
    assertEquals(computeDigest(await Deno.readFile(`${folder.path}/${file}`)), tgzDigest);
  }
  assertEquals((await folder.listFiles()).filter((name) => name.endsWith(".tgz.partial")), []);
});
