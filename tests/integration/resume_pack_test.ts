import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
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
// What a killed pack had not written yet: a buffer that is being filled, one that is being written, what was read ahead
// and what the download holds back.
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
    /** The requests that were made for a blob since `from` of all requests. */
    asked: (digest: Digest, from: number) =>
      upstream.requests.slice(from).filter(({ kind, path }) => kind === "blob" && path.endsWith(digest)),
    /** The bytes of the bundle's file, or files, that are there, whole or in part. */
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

type Desk = Awaited<ReturnType<typeof createFixture>>;

/** Packs until so many bytes of a layer have come into the store and, all but the last, into the file; then kills it. */
async function killAt(
  fixture: Desk,
  { layer, at, data, flags = [] }: { layer: number; at: number; data: string; flags?: readonly string[] },
) {
  const { digest } = fixture.layers[layer]!;
  const download = `${data}/ingest/${digest.replace(":", "-")}.partial`;
  const stallAfter = at - await fixture.sizeOf(download);
  fixture.upstream.fail({ kind: "blob", method: "GET", path: digest, times: 1, stallAfter });
  await using crpe = fixture.spawn(data, "-o", "out.tgz", ...flags);
  const from = fixture.upstream.requests.length;
  await until(`layer ${layer} is asked for`, () => fixture.asked(digest, from).length > 0);
  await until(`byte ${at} of layer ${layer} has come`, async () => await fixture.sizeOf(download) >= at);
  await until(`byte ${at} of layer ${layer} is in the file`, async () => {
    return await fixture.written() >= sizeBefore(layer) + at - IN_FLIGHT;
  });
  crpe.kill("SIGKILL");
  await crpe.finished;
  fixture.upstream.heal();
}

function sizeBefore(layer: number): number {
  return LAYERS.slice(0, layer).reduce((sum, { length }) => sum + length, 0);
}

Deno.test("[8] a pack that is killed again and again goes on, asking the upstream for each byte once", async () => {
  await using fixture = await createFixture();
  const { upstream } = fixture;
  const [from, sent] = [upstream.requests.length, upstream.bodyBytes];
  const kills = [[0, 0], [0, 5 * MIB], [1, 3 * MIB], [2, 10], [2, 6 * MIB]] as const;
  for (const [layer, at] of kills) {
    await killAt(fixture, { layer, at, data: "data" });
    assertEquals(await fixture.sizeOf("out.tgz"), 0);
  }
  const there = await fixture.sizeOf(".out.tgz.partial");
  assert(there >= TOTAL - MIB - IN_FLIGHT, `${there}`);
  const { code, stdout, stderr } = await fixture.pack("data", "-o", "out.tgz", "--json");
  assertEquals(code, 0, stderr);
  const { resumed, size } = JSON.parse(stdout);
  assert(resumed >= there - 13 && resumed <= there, `${resumed} of ${there}`);
  assertEquals(size, await fixture.sizeOf("out.tgz"));
  await fixture.check("out.tgz");
  assertLess(upstream.bodyBytes - sent, 1.01 * TOTAL);
  const gets = fixture.layers.map(({ digest }) =>
    fixture.asked(digest, from).filter(({ method }) => method === "GET").length
  );
  assertEquals(gets, [3, 2, 3]);
});

Deno.test("[8] a pack that is gone on with does not ask for the blobs that are in the file", async () => {
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

Deno.test("a pack goes on from what is right in a damaged file, and not from another package's", async () => {
  await using fixture = await createFixture();
  const { folder } = fixture;
  await killAt(fixture, { layer: 2, at: 6 * MIB, data: "data" });
  const partial = `${folder.path}/.out.tgz.partial`;
  const bytes = await Deno.readFile(partial);
  // In the second layer.
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
  assertEquals([other.code, JSON.parse(other.stdout).resumed], [0, 0]);
  await fixture.pack("fresh", "-o", "undisturbed.tgz");
  await fixture.check("out.tgz");
});

Deno.test("[4] a pack whose upstream fails keeps what it has, says so, and goes on when the upstream is back", async () => {
  await using fixture = await createFixture();
  const { digest } = fixture.layers[2]!;
  fixture.upstream.fail({ kind: "blob", path: digest, status: 403 });
  const failed = await fixture.pack("data", "-o", "out.tgz");
  assertEquals([failed.code, failed.stdout], [1, ""]);
  assertStringIncludes(failed.stderr, "crpe: what is packed so far (1");
  assertEquals(failed.stderr.trim().split("\n").length, 2);
  assertEquals((await fixture.folder.listFiles()).filter((name) => name.includes("out.tgz")), [".out.tgz.partial"]);
  fixture.upstream.heal();
  const { code, stdout } = await fixture.pack("data", "-o", "out.tgz", "--json");
  assertEquals(code, 0);
  assert(JSON.parse(stdout).resumed > 9 * MIB, stdout);
  await fixture.check("out.tgz");
});

Deno.test("[10] a pack whose content is wrong leaves nothing", async () => {
  await using fixture = await createFixture();
  const { digest } = fixture.layers[1]!;
  fixture.upstream.fail({ kind: "blob", path: digest, wrongBytes: true });
  const { code, stderr } = await fixture.pack("data", "-o", "out.tgz");
  assertEquals(code, 4, stderr);
  assertEquals((await fixture.folder.listFiles()).filter((name) => name.includes("out.tgz")), []);
});

Deno.test("[8] a pack into parts that is killed goes on in the part where it was, and leaves those before as they are", async () => {
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
  const there = (await folder.listFiles()).filter((name) => name.includes("out."));
  assert(there.includes("out.part1of5.tgz") && there.includes("out.part2of5.tgz"), there.join());
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
