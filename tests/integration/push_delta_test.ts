import { INGEST } from "../../lib/store/layout.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { spawnCrpe, startCrpe } from "../support/crpe_process.ts";
import { createDeltaFixture, DELTA_REPO } from "../support/delta_fixture.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { peerTest } from "../support/peers.ts";
import { writeImage } from "../support/put_image.ts";

/** A folder with the keys `desk` and `plant`, and two releases that desk has signed; the data folder `site` has the first. */
async function createFixture() {
  const fixture = await createDeltaFixture();
  for (const key of ["desk", "plant"]) assertEquals((await fixture.crpe("keygen", key)).code, 0);
  for (const version of [1, 2]) await fixture.packVersion(version, `${version}`, "--sign-key=desk");
  assertEquals((await fixture.crpe("import", "1.tgz", "--data=site")).code, 0);
  return fixture;
}

const SIGNED: readonly [what: string, flags: string[], signer: string, deltas: number | undefined, warning: string][] =
  [
    ["as it is", [], "desk.pub", undefined, ""],
    ["with deltas, and --sign-key", ["--sign-key=plant"], "plant.pub", 1, ""],
    ["as it is, if the site does not trust --sign-key", ["--sign-key=other"], "desk.pub", undefined, "as it is"],
  ];

peerTest("a signed bundle is pushed with its signatures", ["gzip"], async () => {
  for (const [what, flags, signer, deltas, warning] of SIGNED) {
    await using fixture = await createFixture();
    const { crpe, processOptions } = fixture;
    assertEquals((await crpe("keygen", "other")).code, 0);
    const trust = ["--trusted-keys=desk.pub", "--trusted-keys=plant.pub"];
    await using agent = await startCrpe(["agent", "--addr=127.0.0.1:0", "--data=site", ...trust], processOptions);
    const to = [`--to=${agent.url}`, "--token-file=site/kubepkg/.token", "--data=source"];
    const { code, stdout, stderr } = await crpe("push", "2.tgz", ...to, ...flags, "--json");
    assertEquals(code, 0, `${what}: ${stderr}`);
    const [result] = JSON.parse(stdout);
    assertEquals([result.trust.keys.map((key: { entry: string }) => key.entry), result.deltas?.count], [
      [signer],
      deltas,
    ], what);
    assertStringIncludes(stderr, warning);
  }
});

peerTest("push --sign-key is refused with --no-delta", ["gzip"], async () => {
  await using fixture = await createFixture();
  const { code, stderr } = await fixture.crpe(
    "push",
    "2.tgz",
    "--to=http://127.0.0.1:9",
    "--token-file=desk",
    "--no-delta",
    "--sign-key=desk",
  );
  assertEquals(code, 2);
  assertStringIncludes(stderr, "Cannot use --sign-key with --no-delta");
});

peerTest("a push that is interrupted removes the bundle that it made", ["gzip"], async () => {
  await using fixture = await createDeltaFixture();
  const { crpe, folder, packVersion, processOptions } = fixture;
  await packVersion(2, "2");
  await folder.write("token", "0123456789abcdef0123456789abcdef");
  await Deno.chmod(`${folder.path}/token`, 0o600);
  await packVersion(1, "1");
  assertEquals((await crpe("import", "1.tgz", "--data=site")).code, 0);
  const inventory = (await crpe("inventory", "--data=site")).stdout;
  const listTemporary = async () =>
    (await folder.listFiles(`source/${INGEST}`)).filter((name) => name.endsWith(".tmp")).length;
  const planned = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  // An agent that never answers the plan.
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    if (request.method === "POST") {
      planned.resolve();
      await released.promise;
    }
    return new Response(inventory, { headers: { "x-node-agent": "node; platforms=linux/amd64" } });
  });
  const to = [`--to=http://127.0.0.1:${server.addr.port}`, "--token-file=token", "--data=source"];
  const running = spawnCrpe(["push", "2.tgz", ...to], processOptions);
  running.listening.catch(() => {});
  await Promise.race([planned.promise, running.finished.then(({ stderr }) => Promise.reject(new Error(stderr)))]);
  assertEquals(await listTemporary(), 1);
  running.kill("SIGINT");
  assertEquals((await running.finished).code, 130);
  assertEquals(await listTemporary(), 0);
  released.resolve();
});

peerTest("a split bundle carries deltas, and its last part rebuilds the layer", ["gzip"], async () => {
  await using fixture = await createDeltaFixture();
  const { crpe, folder, packVersion } = fixture;
  await packVersion(1, "1");
  assertEquals((await crpe("import", "1.tgz", "--data=site")).code, 0);
  // Beside it an image that fills more than one part.
  const filler = crypto.getRandomValues(new Uint8Array(60_000));
  const other = buildImage({ files: { a: filler, b: filler.toReversed(), c: filler.map((byte) => byte ^ 1) } });
  await writeImage(fixture.store, "registry.test/other:1", other);
  const kubepkg = makeKubePkg({ [`${DELTA_REPO}:2`]: "", "registry.test/other:1": "" }, { version: "2.0.0" });
  const packed = await fixture.pack(kubepkg, "2", "--json", "--since=1.tgz", "--split=80KiB");
  assertEquals(packed.code, 0, packed.stderr);
  const report = JSON.parse(packed.stdout);
  assertEquals(report.deltas.count, 1);
  const parts = (await folder.listFiles()).filter((name) => name.startsWith("2.part")).sort();
  assertEquals(parts.length, report.parts.length);
  for (const part of parts) assertEquals((await crpe("verify", part)).code, 0);
  assertStringIncludes((await crpe("inspect", parts[0]!)).stdout, "1 layer is a delta: ");
  const { code, stdout, stderr } = await crpe("import", ...parts, "--data=site");
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "2.0.0");
  const { images } = JSON.parse((await crpe("inspect", parts[0]!, "--json")).stdout);
  const held = await crpe("images", "--data=site", "--json");
  assertStringIncludes(held.stdout, images[0].digest);
  assertEquals((await crpe("verify", "--data=site")).code, 0);
});
