import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { FakeKubectl } from "../support/fake_kubectl.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

const IMAGE = "registry.test/app:1";
const PLACES = [
  { flags: ["--kubectl"], names: "with kubectl, and this agent was started without --kubectl" },
  { flags: ["--manifests-dir=manifests"], names: "and this agent was started without --manifests-dir /" },
] as const;

for (const { flags, names } of PLACES) {
  Deno.test(`the page of an agent without ${flags} leaves a package alone that was handed over with it, and says so`, async () => {
    await using fixture = await createPackFixture({ [IMAGE]: buildImage() });
    await using kubectl = await FakeKubectl.create();
    const env = { ...fixture.processOptions.env, PATH: kubectl.path };
    const options = { ...fixture.processOptions, env };
    const record = `${fixture.folder.path}/site/kubepkg/line4/current.json`;
    for (const version of ["1.0.0", "2.0.0"]) {
      const { code, stderr } = await fixture.pack(makeKubePkg({ [IMAGE]: "" }, { version }), version);
      assertEquals(code, 0, stderr);
      const imported = await runCrpe(["import", `${version}.tgz`, ...flags, "--data=site"], options);
      assertEquals(imported.code, 0, imported.stderr);
    }
    await kubectl.takeCalls();
    const change = async (method: string, path: string, given: readonly string[]) => {
      await using agent = await startCrpe(["agent", "--addr=127.0.0.1:0", "--data=site", ...given], options);
      const token = (await Deno.readTextFile(`${fixture.folder.path}/site/kubepkg/.token`)).trim();
      const headers = { authorization: `Bearer ${token}` };
      const response = await fetch(`${agent.url}/api/packages/line4${path}`, { method, headers });
      return { status: response.status, document: await response.json() };
    };
    for (const [method, path] of [["DELETE", "?dry-run"], ["DELETE", ""], ["POST", "/rollback"]] as const) {
      const { status, document } = await change(method, path, []);
      assertEquals([status, document.errors[0].code], [409, "CONFLICT"]);
      assertStringIncludes(document.errors[0].message, names);
    }
    assertEquals(await kubectl.takeCalls(), []);
    assertStringIncludes(await Deno.readTextFile(record), "2.0.0");
    const readImages = async () => (await runCrpe(["images", "--data=site"], options)).stdout;
    const images = await readImages();
    assertStringIncludes(images, IMAGE);
    const dry = await change("DELETE", "?dry-run=true", flags);
    assertEquals([dry.status, dry.document.removed, dry.document.untagged], [200, false, [IMAGE]]);
    assertEquals(await readImages(), images, "a dry run removes no tag");
    const back = await change("POST", "/rollback", flags);
    assertEquals([back.status, back.document.to], [200, "1.0.0"]);
    assertStringIncludes(await Deno.readTextFile(record), "1.0.0");
  });
}
