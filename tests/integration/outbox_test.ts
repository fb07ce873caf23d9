import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const IMAGE = "registry.test/app:1";

Deno.test("pack --outbox keeps bundles: crpe outbox lists them, the page's API downloads them in ranges, push sends one", async () => {
  await using fixture = await createPackFixture({ [IMAGE]: buildImage() });
  const { folder, processOptions } = fixture;
  const crpe = async (...args: string[]) => await runCrpe([...args, "--data=source"], processOptions);
  for (const version of ["1.0.0", "1.1.0"]) {
    await folder.write(`${version}.json`, JSON.stringify(makeKubePkg({ [IMAGE]: "" }, { version })));
    const { code, stdout, stderr } = await crpe("pack", `${version}.json`, "--outbox", "--offline");
    assertEquals([code, stdout.includes("/outbox/sha256-")], [0, true], stderr);
  }
  const plain = await crpe("pack", "1.0.0.json", "-o", "plain.tgz", "--offline");
  assertEquals(plain.code, 0, plain.stderr);
  const listed = JSON.parse((await crpe("outbox", "--json")).stdout);
  assertEquals(listed.map(({ packages: [one] }: { packages: { version: string }[] }) => one!.version), [
    "1.1.0",
    "1.0.0",
  ]);
  assertStringIncludes((await crpe("outbox")).stdout, "line4@1.0.0");
  const { stdout } = await crpe("outbox", "path", "line4@1.0.0");
  const bytes = await Deno.readFile(`${folder.path}/${stdout.trimEnd()}`);
  assertEquals(bytes, await Deno.readFile(`${folder.path}/plain.tgz`));

  await using registry = await startCrpe(["registry", "--addr=127.0.0.1:0", "--data=source", "--offline"], {
    ...processOptions,
  });
  const { bundles } = await (await fetch(`${registry.url}/api/outbox`)).json();
  const { digest } = bundles[1];
  const refusedWithout = await fetch(`${registry.url}/api/outbox/${digest}`);
  assertEquals([refusedWithout.status, (await refusedWithout.json()).errors[0].code], [401, "UNAUTHORIZED"]);
  const token = (await Deno.readTextFile(`${folder.path}/source/kubepkg/.token`)).trim();
  const headers = { authorization: `Bearer ${token}` };
  const get = async (range: string) => {
    const response = await fetch(`${registry.url}/api/outbox/${digest}`, { headers: { ...headers, range } });
    return [response.status, new Uint8Array(await response.arrayBuffer())] as const;
  };
  const [[firstStatus, first], [restStatus, rest]] = [await get("bytes=0-999"), await get("bytes=1000-")];
  assertEquals([firstStatus, restStatus, new Uint8Array([...first, ...rest])], [206, 206, bytes]);

  await using agent = await startCrpe(["agent", "--addr=127.0.0.1:0", "--data=site"], processOptions);
  const pushed = await runCrpe(
    ["push", stdout.trimEnd(), `--to=${agent.url}`, `--token-file=${folder.path}/site/kubepkg/.token`],
    processOptions,
  );
  assertEquals(pushed.code, 0, pushed.stderr);

  // What an interrupted pack leaves is named, and freed.
  await folder.write("source/outbox/.line4@2.0.0.tgz.partial", "part of a bundle");
  const unfinished = await crpe("outbox");
  assertStringIncludes(unfinished.stderr, "crpe: .line4@2.0.0.tgz.partial (16 B, 2");
  assertStringIncludes(unfinished.stderr, "the same pack resumes it, crpe gc --partial removes it\n");
  const removePartials = (init: RequestInit) =>
    fetch(`${registry.url}/api/outbox/partials`, { ...init, method: "DELETE" });
  assertEquals((await removePartials({})).status, 401);
  const partial = { name: ".line4@2.0.0.tgz.partial", size: 16 };
  const { partials } = await (await fetch(`${registry.url}/api/outbox`)).json();
  assertEquals(partials.map(({ written: _, ...it }: { written: string }) => it), [{ ...partial, inUse: false }]);
  assertEquals(await (await removePartials({ headers })).json(), { removed: [partial] });
  assertEquals((await crpe("outbox")).stderr, "");
  await folder.write("source/outbox/.line4@2.0.0.tgz.partial", "part of a bundle");
  for (const [flags, line] of [[["--dry-run"], "would remove"], [[], "removed"]] as const) {
    const collected = await crpe("gc", "--partial", ...flags);
    assertEquals([collected.code, collected.stdout.split(" 0 blobs")[0]], [0, line]);
    assertStringIncludes(collected.stdout, ", 1 partial file (16 B)\n");
  }
  assertEquals((await crpe("outbox")).stderr, "");

  const removed = await crpe("outbox", "rm", "line4@1.0.0", "line4@9.9.9");
  assertEquals([removed.code, removed.stdout.split(",")[0]], [1, "removed line4@1.0.0"]);
  assertStringIncludes(removed.stderr, "Cannot find line4@9.9.9 in the outbox: there is no such bundle");
  assertEquals(
    (await fetch(`${registry.url}/api/outbox/${digest}`, { headers }).then((it) => it.json())).errors[0].code,
    "NOT_FOUND",
  );
  const refused = await crpe("pack", "1.0.0.json", "--outbox", "-o", "x.tgz", "--offline");
  assertEquals(refused.code, 2);
  assertStringIncludes(refused.stderr, "Cannot use --outbox with --output");
});
