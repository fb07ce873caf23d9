import { Buffer } from "node:buffer";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { buildArtifact, buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const REPO = "registry.test/app";
const image = buildImage();
const sbom = buildArtifact(image.root, "application/spdx+json", JSON.stringify({ spdxVersion: "SPDX-2.3" }));
const signature = buildImage({ files: { "signature.json": "{}" } });
const TAG = `${image.root.digest.replace(":", "-")}.sig`;

Deno.test("an agent serves what is attached to the images of a pushed bundle, and removes it with the package", async () => {
  const images = { [`${REPO}:1`]: image, [`${REPO}:sbom`]: sbom, [`${REPO}:${TAG}`]: signature };
  await using fixture = await createPackFixture(images);
  const { folder, crpe, processOptions } = fixture;
  const kubepkg = makeKubePkg({ [`${REPO}:1`]: "" });
  assertEquals((await fixture.pack(kubepkg, "whole")).code, 0);
  assertEquals((await fixture.pack(kubepkg, "without", "--no-referrers")).code, 0);
  const inspected = JSON.parse((await crpe("inspect", "whole.tgz", "--json")).stdout);
  assertEquals(inspected.images[0].referrers, 2);
  const flags = ["--addr=127.0.0.1:0", "--data=site", "--manifests-dir=manifests"];
  {
    await using agent = await startCrpe(["agent", ...flags], processOptions);
    const push = (file: string, ...more: string[]) =>
      crpe("push", file, `--to=${agent.url}`, `--token-file=${folder.path}/site/kubepkg/.token`, "--json", ...more);
    const list = async () => {
      const { manifests } = await (await fetch(`${agent.url}/v2/${REPO}/referrers/${image.root.digest}`)).json();
      const { tags } = await (await fetch(`${agent.url}/v2/${REPO}/tags/list`)).json();
      return { referrers: manifests.map(({ digest }: { digest: string }) => digest), tags };
    };
    assertEquals((await push("without.tgz")).code, 0);
    assertEquals(await list(), { referrers: [], tags: ["1"] });
    // The same release: what is missing is brought, as a repair.
    const pushed = await push("whole.tgz");
    assertEquals(pushed.code, 0, pushed.stderr);
    const [{ referrers, repaired }] = JSON.parse(pushed.stdout);
    assertEquals({ referrers, repaired }, { referrers: 2, repaired: true });
    assertEquals(await list(), { referrers: [sbom.root.digest], tags: ["1", TAG] });
  }
  assertEquals((await crpe("import", "whole.tgz", "--data=site", "--manifests-dir=manifests", "--force")).code, 0);
  const gc = await crpe("gc", "--data=site", "--untagged");
  assertEquals(gc.code, 0, gc.stderr);
  const held = await crpe("verify", "--data=site");
  assertEquals(held.code, 0, held.stdout + held.stderr);
  assertStringIncludes((await crpe("images", "--data=site")).stdout, TAG);
  const removed = await crpe("packages", "remove", "line4", "--data=site", "--forget");
  assertEquals(removed.code, 0, removed.stderr);
  assertEquals((await crpe("gc", "--data=site")).code, 0);
  assertEquals(await folder.listFiles("site/docker"), []);
});

Deno.test("[100] a bundle whose document declares a wrong referrer is refused, and nothing of it is visible", async () => {
  await using fixture = await createPackFixture({ [`${REPO}:1`]: image, [`${REPO}:sbom`]: sbom });
  const { folder, crpe } = fixture;
  assertEquals((await fixture.pack(makeKubePkg({ [`${REPO}:1`]: "" }), "good")).code, 0);
  const tar = await new Response(
    (await Deno.open(`${folder.path}/good.tgz`)).readable.pipeThrough(new DecompressionStream("gzip")),
  ).bytes();
  // The subject is the SBOM itself.
  const text = Buffer.from(tar).toString("latin1");
  const changed = text.replace(`"subject":"${image.root.digest}"`, `"subject":"${sbom.root.digest}"`);
  assert(changed !== text);
  await folder.write("bad.tar", new Uint8Array(Buffer.from(changed, "latin1")));
  for (const command of [["import", "bad.tar", "--data=site"], ["verify", "bad.tar"]]) {
    const { code, stdout, stderr } = await crpe(...command);
    assertEquals(code, 4, stderr);
    assertStringIncludes(stdout + stderr, "names another subject");
  }
  const visible = (await folder.listFiles("site/docker")).filter((name) => name.includes("/_manifests/"));
  assertEquals(visible, []);
  assertEquals((await folder.listFiles("site/kubepkg")).filter((name) => name.endsWith("current.json")), []);
});
