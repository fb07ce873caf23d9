import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createOtherUser } from "../support/other_user.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";

const IMAGE = "registry.test/team/app:1";

// What another user can do with the images of a data folder whose records only their owner can read.
const READING: readonly { args: readonly string[]; code: number; stdout?: string; stderr: RegExp }[] = [
  {
    args: ["images"],
    code: 0,
    stdout: IMAGE,
    stderr: /^crpe: warning: Cannot read \S+\/\.pins\.json: permission denied/,
  },
  { args: ["images", "--json"], code: 0, stdout: IMAGE, stderr: /^crpe: warning: Cannot read \S+\/\.pins\.json: / },
  { args: ["images", "du"], code: 0, stdout: IMAGE, stderr: /^$/ },
  { args: ["images", "--partial"], code: 0, stderr: /^$/ },
  { args: ["tags", "registry.test/team/app", "--offline"], code: 0, stdout: "1\n", stderr: /^crpe: 1 tag of / },
  { args: ["inventory"], code: 0, stdout: "sha256:", stderr: /^$/ },
  { args: ["packages"], code: 1, stderr: /^crpe: Cannot use \S+\/kubepkg: permission denied/ },
  { args: ["packages", "history", "line4"], code: 1, stderr: /^crpe: Cannot use \S+\/kubepkg: permission denied/ },
  { args: ["manifests", "line4"], code: 1, stderr: /^crpe: Cannot use \S+\/kubepkg: permission denied/ },
];

peerTest(
  "[96] the images of another user's data folder are listed although its pins and packages cannot be read",
  ["root", "setpriv"],
  async () => {
    await using fixture = await createPackFixture({ [IMAGE]: buildImage() });
    const { folder, crpe } = fixture;
    assertEquals((await fixture.pack(makeKubePkg({ [IMAGE]: "" }), "line4")).code, 0);
    assertEquals((await crpe("import", "line4.tgz", "--data=source")).code, 0);
    assertEquals((await crpe("images", "pin", IMAGE, "--data=source")).code, 0);
    await Deno.chmod(folder.path, 0o755);
    await using user = await createOtherUser(folder.path);
    for (const { args, code, stdout = "", stderr } of READING) {
      const result = await runCrpe([...args, `--data=${folder.path}/source`], user.options);
      const what = `${args.join(" ")}: ${result.stderr}`;
      assertEquals([result.code, result.stderr.split("\n").length <= 3], [code, true], what);
      assertMatch(result.stderr, stderr, what);
      assertStringIncludes(result.stdout, stdout, what);
      assertEquals(result.stderr.split("Cannot").length <= 2, true, what);
    }
    // It is not known which images are pinned.
    const [image] = JSON.parse(
      (await runCrpe(["images", "--json", `--data=${folder.path}/source`], user.options)).stdout,
    );
    assertEquals("isPinned" in image, false);
    const { stdout } = await crpe("images", "--json", "--data=source");
    assertEquals(JSON.parse(stdout)[0].isPinned, true);
  },
);
