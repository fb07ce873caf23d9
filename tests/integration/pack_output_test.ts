import { computeDigest } from "../../lib/oci/digest.ts";
import { createRegistryHandler } from "../../lib/registry/handler.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runCrpe, spawnCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { makeLargeLayer } from "../support/large_blob.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";

const IMAGE = "registry.test/app:1";
const image = buildImage();
const largeLayer = makeLargeLayer(4 * 1024 * 1024);
const LARGE = "registry.test/large:1";
const large = buildImage({ largeLayer });

async function createPacker() {
  const fixture = await createPackFixture({ [IMAGE]: image, [LARGE]: large });
  await fixture.folder.write("a.json", JSON.stringify(makeKubePkg({ [IMAGE]: "" })));
  await fixture.folder.write("large.json", JSON.stringify(makeKubePkg({ [LARGE]: "" })));
  assertEquals((await fixture.crpe("pack", "a.json", "--data=source", "--offline")).code, 0);
  const path = `${fixture.folder.path}/line4@1.0.0.tgz`;
  const expected = computeDigest(await Deno.readFile(path));
  await Deno.remove(path);
  return {
    ...fixture,
    /** Packs to a path. */
    packTo: (output: string, ...flags: string[]) => {
      return fixture.crpe("pack", "a.json", `--output=${output}`, "--data=source", "--offline", ...flags);
    },
    /** Checks that a file below the folder is the bundle. */
    async check(name: string) {
      assertEquals(computeDigest(await Deno.readFile(`${fixture.folder.path}/${name}`)), expected);
    },
  };
}

peerTest(
  "pack -o writes into a folder, through a link and into a pipe, and replaces none of them",
  ["mkfifo"],
  async () => {
    await using fixture = await createPacker();
    const { folder, packTo, check } = fixture;
    await Deno.mkdir(`${folder.path}/media`);
    for (const output of ["media", "media/", "new/"]) {
      const { code, stdout, stderr } = await packTo(output);
      assertEquals(code, 0, stderr);
      const name = `${output.replace("/", "")}/line4@1.0.0.tgz`;
      assertStringIncludes(stdout, `${name}  `);
      await check(name);
      await Deno.remove(`${folder.path}/${name}`);
    }
    await folder.write("elsewhere/old.tgz", "old");
    await Deno.symlink("elsewhere/old.tgz", `${folder.path}/link.tgz`);
    assertEquals(JSON.parse((await packTo("link.tgz", "--json")).stdout).file, "link.tgz");
    assert((await Deno.lstat(`${folder.path}/link.tgz`)).isSymlink);
    await check("elsewhere/old.tgz");

    const pipe = `${folder.path}/pipe`;
    assert((await new Deno.Command("mkfifo", { args: [pipe] }).output()).success);
    const [packed, bytes] = await Promise.all([packTo("pipe"), Deno.readFile(pipe)]);
    assertEquals(packed.code, 0, packed.stderr);
    await Deno.writeFile(`${folder.path}/from-pipe.tgz`, bytes);
    await check("from-pipe.tgz");
    assertEquals((await Deno.lstat(pipe)).isFifo, true);
    assertEquals((await folder.listFiles()).filter((name) => name.includes(".partial")), []);
  },
);

Deno.test("pack -o - refuses --json, because standard output carries the bundle", async () => {
  await using fixture = await createPacker();
  const { code, stdout, stderr } = await fixture.packTo("-", "--json");
  assertEquals({ code, stdout }, { code: 2, stdout: "" });
  assertStringIncludes(stderr, "Cannot use --json with -o -");
});

peerTest("pack -o - reports that the reader of its output has stopped", ["bash"], async () => {
  await using fixture = await createPacker();
  const within = ["bash", "-c", '"$@" | head -c 1; exit ${PIPESTATUS[0]}', "bash"];
  const args = ["pack", "large.json", "-o", "-", "--data=source", "--offline", "--quiet"];
  const { code, stdout, stderr } = await runCrpe(args, { ...fixture.processOptions, within });
  assertEquals({ code, stdout }, { code: 1, stdout: "\x1f" });
  assertEquals(stderr, "crpe: Cannot write standard output: the reader has closed the pipe\n");
});

Deno.test("pack --split writes parts of at most the given size, and lists them", async () => {
  await using fixture = await createPacker();
  const { folder, crpe } = fixture;
  await Deno.mkdir(`${folder.path}/media`);
  const pack = async (...flags: string[]) => await crpe("pack", "large.json", "--data=source", "--offline", ...flags);
  const list = async (name: string) => (await folder.listFiles()).filter((file) => file.includes(name));
  const { code, stdout, stderr } = await pack("--split=1MiB", "-o", "media");
  assertEquals(code, 0, stderr);
  const names = Array.from({ length: 5 }, (_, i) => `media/line4@1.0.0.part${i + 1}of5.tgz`);
  assertEquals(await list("media/"), names);
  for (const name of names) {
    assert((await Deno.stat(`${folder.path}/${name}`)).size <= 1024 * 1024);
    assertStringIncludes(stdout, `\n${name}  `);
  }
  assertStringIncludes(stdout, "\n5 parts  4 MiB, 4 blobs of 1 image\n");
  const again = JSON.parse((await pack("--split=1MiB", "-o", "media", "--json")).stdout);
  assertEquals(again.parts.map(({ file }: { file: string }) => file), names);
  assertEquals(again.resumed, again.size);
  assertEquals(again.file, undefined);
  assertEquals((await pack("--split=3M", "-o", "out.tgz")).code, 0);
  assertEquals(await list("out."), ["out.part1of2.tgz", "out.part2of2.tgz"]);
  // What fits needs no parts: it is the same file as without the flag.
  const whole = JSON.parse((await pack("--split=1G", "--json")).stdout);
  assertEquals([whole.file, whole.parts], ["line4@1.0.0.tgz", undefined]);
  assertEquals((await pack("-o", "same.tgz")).code, 0);
  assertEquals(
    await Deno.readFile(`${folder.path}/same.tgz`),
    await Deno.readFile(`${folder.path}/line4@1.0.0.tgz`),
  );
  // Its manifests may hold Secrets.
  assertEquals((await Deno.stat(`${folder.path}/same.tgz`)).mode! & 0o777, 0o600);
});

Deno.test("pack --split refuses a size that is too small, and names the smallest possible one", async () => {
  await using fixture = await createPacker();
  const pack = async (...flags: string[]) =>
    await fixture.crpe("pack", "large.json", "--data=source", "--offline", ...flags);
  const { code, stderr } = await pack("--split=2000B", "-o", "out.tgz");
  assertEquals(code, 2);
  const smallest = /Cannot split into parts of 2 KiB: the smallest size that works here is (\S+)/.exec(stderr)
    ?.[1];
  assertEquals((await fixture.folder.listFiles()).filter((name) => name.includes("out.")), []);
  const works = await pack(`--split=${smallest}`, "-o", "out.tgz");
  assertEquals(works.code, 0, works.stderr);
  for (const [size, ...flags] of [["much"], ["1M", "-o", "-"]]) {
    const { code, stdout, stderr } = await pack(`--split=${size}`, ...flags);
    assertEquals({ code, stdout }, { code: 2, stdout: "" });
    assertStringIncludes(stderr, "Cannot use --split ");
  }
});

Deno.test("pack keeps its partial file when it is interrupted, and refuses a second pack to the same file", async () => {
  await using fixture = await createPacker();
  const { folder, packTo, check } = fixture;
  const registry = createRegistryHandler(fixture.store);
  const stalled = Promise.withResolvers<void>();
  let asked = Promise.withResolvers<void>();
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const url = new URL(request.url);
    if (url.pathname.endsWith(`/blobs/${largeLayer.digest}`)) {
      asked.resolve();
      await stalled.promise;
    }
    const { method, headers } = request;
    return await registry(new Request(`${url.origin}${url.pathname}?ns=registry.test`, { method, headers }));
  });
  const upstream = `--upstream=registry.test=http://127.0.0.1:${server.addr.port}`;
  const begin = async () => {
    asked = Promise.withResolvers<void>();
    const args = ["pack", "large.json", "-o", "out.tgz", "--data=empty", upstream, "--quiet"];
    const pack = spawnCrpe(args, fixture.processOptions);
    await Promise.race([asked.promise, pack.finished.then(({ stderr }) => Promise.reject(new Error(stderr)))]);
    return pack;
  };
  const remains = async () => (await folder.listFiles()).filter((name) => name.includes("out.tgz"));
  try {
    for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
      const pack = await begin();
      const second = await packTo("out.tgz");
      assertEquals({ code: second.code, stdout: second.stdout }, { code: 1, stdout: "" });
      assertEquals(
        second.stderr,
        "crpe: Cannot write out.tgz: another crpe is writing it; wait for it to finish, or choose another name\n",
      );
      assertEquals(await remains(), [".out.tgz.partial"]);
      pack.kill(signal);
      const { code, stderr } = await pack.finished;
      assertEquals(code, status);
      assertEquals(
        stderr,
        "crpe: interrupted; what was downloaded, or written to a file, is kept; run the same command again to resume\n",
      );
      assertEquals(await remains(), [".out.tgz.partial"]);
    }
    const killed = await begin();
    killed.kill("SIGKILL");
    await killed.finished;
    assertEquals(await remains(), [".out.tgz.partial"]);
    assertEquals((await packTo("out.tgz")).code, 0);
    assertEquals(await remains(), ["out.tgz"]);
    await check("out.tgz");
  } finally {
    stalled.resolve();
  }
});

Deno.test("an output that is an input of the same command is refused with exit status 2, and the input stays", async () => {
  await using fixture = await createPacker();
  const { folder, crpe, packTo } = fixture;
  assertEquals((await packTo("old.tgz")).code, 0);
  await folder.write("have.txt", computeDigest(new Uint8Array(1)));
  await folder.write("objects/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
  assertEquals((await crpe("keygen", "desk")).code, 0);
  for (const [from, to] of [["old.tgz", "new.tgz"], ["old.tgz", "copy/old.tgz"], ["desk", ".p.tgz.partial"]] as const) {
    await folder.write(to, await Deno.readFile(`${folder.path}/${from}`));
  }
  const pack = ["pack", "a.json", "--data=source", "--offline"];
  const reads = (input: string) => `${input}: the command reads this file; name another one for the output`;
  const several = (output: string) => `Cannot sign: several of the bundles would be ${output}; sign them one at a time`;
  const commands: [message: string, command: string[]][] = [
    [reads("a.json"), [...pack, "-o", "a.json"]],
    [reads("a.json"), [...pack, "-o", "a.json", "--split=1MiB"]],
    [reads("have.txt"), [...pack, "-o", "have.txt", "--have=have.txt"]],
    [reads("desk"), [...pack, "-o", "desk", "--sign-key=desk"]],
    [reads("old.tgz"), [...pack, "-o", "./old.tgz", "--since=old.tgz"]],
    [reads("objects/a.yaml"), [
      "pack",
      "objects",
      "--name=x",
      "--version=1.0.0",
      "--data=source",
      "--offline",
      "-o",
      "objects/a.yaml",
    ]],
    [reads("old.tgz"), [
      "copy",
      "old.tgz",
      "--to=http://127.0.0.1:1/x",
      "--manifests=old.tgz",
      "--data=source",
      "--offline",
    ]],
    [reads("desk"), ["sign", "old.tgz", "--key=desk", "-o", "desk"]],
    [several("new.tgz"), ["sign", "old.tgz", "new.tgz", "--key=desk", "-o", "new.tgz"]],
    [several("copy/old.tgz"), ["sign", "old.tgz", "copy/old.tgz", "--key=desk", "-o", "copy"]],
    [reads(".p.tgz.partial"), [...pack, "-o", "p.tgz", "--sign-key=.p.tgz.partial"]],
  ];
  const files = async () => {
    const names = (await folder.listFiles()).filter((name) => !name.startsWith("source/"));
    return await Promise.all(
      names.map(async (name) => [name, computeDigest(await Deno.readFile(`${folder.path}/${name}`))]),
    );
  };
  const before = await files();
  for (const [message, command] of commands) {
    const { code, stderr } = await crpe(...command);
    assertEquals(code, 2, `${command.join(" ")}: ${stderr}`);
    assertStringIncludes(stderr, message);
  }
  assertEquals(await files(), before);
});
