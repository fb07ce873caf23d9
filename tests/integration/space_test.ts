import { assertEquals, assertMatch } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { TestFolder } from "../support/test_folder.ts";

// 1 PiB, more than the disk of a test machine has.
const HUGE = 2 ** 50;

Deno.test("pull and pack refuse an image for which there is no room, and write nothing", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  const { manifestBytes } = upstream.addImage("team/app", "1");
  const manifest = JSON.parse(new TextDecoder().decode(manifestBytes));
  manifest.layers[0].size = HUGE;
  upstream.addManifest("team/app", new TextEncoder().encode(JSON.stringify(manifest)), { tag: "1" });
  const options = { env: { HOME: folder.path }, cwd: folder.path };
  const flags = ["--data=data", `--upstream=r.test=${upstream.url}`];

  const pull = await runCrpe(["pull", "r.test/team/app:1", ...flags], options);
  assertEquals([pull.code, pull.stdout], [1, ""], pull.stderr);
  assertMatch(
    pull.stderr,
    /^crpe: Cannot pull r\.test\/team\/app:1: it needs \d{16} bytes in data, \d+ are free, \d+ are missing\n$/,
  );
  const layer = manifest.layers[0].digest as string;
  const asked = () => upstream.requests.filter(({ path }) => path.endsWith(layer)).length;
  assertEquals(asked(), 0);
  const name = `${layer.replace(":", "-")}.partial`;
  assertEquals((await folder.listFiles("data/ingest")).includes(name), false);

  const kubepkg = { apiVersion: "octohelm.tech/v1alpha1", kind: "KubePkg", metadata: { name: "app" } };
  await folder.write(
    "app.json",
    JSON.stringify({ ...kubepkg, spec: { version: "1.0.0", images: { "r.test/team/app:1": "" } } }),
  );
  const pack = ["pack", "app.json", "--output=out/app.tgz", "--platform=linux/amd64", ...flags];
  for (const [more, what] of [[[], "out/app.tgz"], [["--split=600TiB"], "\\d+ parts"]] as const) {
    const { code, stderr } = await runCrpe([...pack, ...more], options);
    const message = new RegExp(
      `^crpe: Cannot write ${what}: it needs \\d{16} bytes in out, \\d+ are free, \\d+ are missing$`,
      "m",
    );
    assertEquals(code, 1, stderr);
    assertMatch(stderr, message);
  }
  assertEquals([asked(), await folder.listFiles("out")], [0, []]);
});
