// @ts-types="../../lib/std/yaml.d.ts"
import { parseAll } from "@std/yaml";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest, runPeer } from "../support/peers.ts";

const DATA = { line: "{{ .Values.line }}", text: "a\n---\n{{- b }}\n\n", none: "<no value>" };

/** A folder with the bundle `shop.tgz`, which is also installed in the data folder `site`. */
async function createSite() {
  const fixture = await createPackFixture({});
  assertEquals((await fixture.pack(makeKubePkg({}, { namespace: "shop", data: DATA }), "shop")).code, 0);
  assertEquals((await fixture.crpe("import", "shop.tgz", "--data=site")).code, 0);
  return fixture;
}

Deno.test("crpe manifests prints the objects of a bundle and of an installed package as the hand-over file has them", async () => {
  await using site = await createSite();
  const handedOver = await site.crpe("import", "shop.tgz", "--data=other", "--manifests-dir=manifests");
  assertEquals(handedOver.code, 0, handedOver.stderr);
  const file = await Deno.readTextFile(`${site.folder.path}/manifests/line4.yaml`);
  for (const name of ["shop.tgz", "line4", "shop/line4"]) {
    const { code, stdout, stderr } = await site.crpe("manifests", name, "--data=site");
    assertEquals([code, stderr, stdout], [0, "", file]);
    const { items } = JSON.parse((await site.crpe("manifests", name, "--data=site", "--json")).stdout);
    assertEquals(items, parseAll(file));
  }
  for (
    const [args, status, message] of [
      [["shop/lin4"], 1, 'it is not installed; did you mean "shop/line4"?'],
      [["missing.tgz"], 1, "Cannot use missing.tgz: there is no such file"],
      [["./line4"], 1, "Cannot use ./line4: there is no such file"],
      [["shop.json"], 4, "Cannot read shop.json"],
      [["shop.tgz", "--helm=manifests"], 3, "Cannot write the chart to manifests: it is not empty (line4.yaml)"],
    ] as const
  ) {
    const { code, stdout, stderr } = await site.crpe("manifests", "--data=site", ...args);
    assertEquals([code, stdout], [status, ""], stderr);
    assertStringIncludes(stderr, message);
  }
});

peerTest(
  "crpe manifests --helm writes a chart that helm renders to the same objects, for its owner only",
  ["helm"],
  async () => {
    await using site = await createSite();
    const { code, stderr } = await site.crpe("manifests", "line4", "--data=site", "--helm=chart");
    assertEquals(code, 0, stderr);
    const { path } = site.folder;
    const rendered = await runPeer("helm", ["template", "x", `${path}/chart`], { env: { HOME: path } });
    assertEquals(rendered.code, 0, rendered.stderr);
    const { stdout } = await site.crpe("manifests", "shop.tgz");
    const byName = (a: unknown, b: unknown) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
    assertEquals(parseAll(rendered.stdout).sort(byName), parseAll(stdout).sort(byName));
    for await (const { name, isFile } of Deno.readDir(`${path}/chart`)) {
      assertEquals((await Deno.stat(`${path}/chart/${name}`)).mode! & 0o777, isFile ? 0o600 : 0o700, name);
    }
  },
);

peerTest(
  "crpe manifests of another user's package is refused by the mode of its record",
  ["root", "setpriv"],
  async () => {
    await using site = await createSite();
    const record = "site/kubepkg/line4@shop/current.json";
    await Deno.chown(`${site.folder.path}/${record}`, 65534, 65534);
    // Root without the right to read everything.
    const within = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    const { code, stdout, stderr } = await runCrpe(["manifests", "line4", "--data=site"], {
      ...site.processOptions,
      within,
    });
    assertEquals([code, stdout, stderr], [
      1,
      "",
      `crpe: Cannot read ${record}: permission denied; run crpe as its owner, or as root\n`,
    ]);
  },
);
