import { inheritOwner } from "../../lib/files/inherit_owner.ts";
import { createAgentFixture, IMAGE_REPO } from "../support/agent_fixture.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const OWNER = 65534;

/** Lists what in a folder does not belong to the user. */
async function listForeign(path: string): Promise<string[]> {
  const foreign: string[] = [];
  const walk = async (folder: string) => {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      const { uid, gid } = await Deno.lstat(`${folder}/${name}`);
      if (uid !== OWNER || gid !== OWNER) foreign.push(`${folder}/${name}`.slice(path.length + 1));
      if (isDirectory) await walk(`${folder}/${name}`);
    }
  };
  await walk(path);
  return foreign;
}

async function createSite() {
  const site = await createAgentFixture();
  const path = `${site.folder.path}/site`;
  for (const folder of [path, `${site.folder.path}/manifests`]) {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.chown(folder, OWNER, OWNER);
  }
  return { ...site, path };
}

peerTest(
  "[96] what root imports, loads, rolls back, collects and removes belongs to the owner of the data folder",
  ["root"],
  async () => {
    await using site = await createSite();
    const crpe = async (...args: string[]) => {
      const { code, stderr } = await site.crpe(...args, "--data=site");
      assertEquals([code, await listForeign(site.path)], [0, []], `${args.join(" ")}: ${stderr}`);
    };
    const { file } = await site.pack("1.0.0", 200_000);
    const next = await site.pack("1.1.0", 300_000);
    const { stderr } = await site.crpe("import", file, "--dry-run", "--data=site");
    assertStringIncludes(
      stderr,
      "crpe: this command writes as root into site, which belongs to uid 65534; new files are given to uid 65534\n",
    );
    await crpe("import", file, "--manifests-dir=manifests");
    assertEquals(await listForeign(`${site.folder.path}/manifests`), []);
    await crpe("import", next.file, "--manifests-dir=manifests");
    await crpe("packages", "rollback", "line4", "--manifests-dir=manifests");
    await site.pack("1.2.0", 1000);
    const archive = `${site.folder.path}/images.tar`;
    const saved = await site.crpe("save", `${IMAGE_REPO}:1.2.0`, `--output=${archive}`, "--data=source");
    assertEquals(saved.code, 0, saved.stderr);
    await crpe("load", archive);
    await crpe("gc", "--untagged");
    await crpe("import", "--force", next.file);
    {
      await using _agent = await site.startAgent();
      assertEquals(await listForeign(site.path), []);
    }
    const split = await site.pack("2.0.0", 2_000_000, "--split=1MiB");
    const parts = (await site.folder.listFiles()).filter((name) =>
      /^2\.0\.0.*part/.test(name) || /^2\.0\.0-\d/.test(name)
    );
    assertEquals(parts.length > 1, true, `${split.file}: ${await site.folder.listFiles()}`);
    await crpe("import", parts[0]!);
    await crpe("packages", "remove", "line4", "--pending");
    await crpe("packages", "remove", "line4", "--forget");
  },
);

peerTest("a file of root in a folder of root stays its own; a link is not followed", ["root"], async () => {
  await using folder = await TestFolder.create();
  const target = await folder.write("target", "x");
  await inheritOwner(target);
  await Deno.mkdir(`${folder.path}/theirs`);
  await Deno.chown(`${folder.path}/theirs`, OWNER, OWNER);
  await Deno.symlink(target, `${folder.path}/theirs/link`);
  await inheritOwner(`${folder.path}/theirs/link`);
  assertEquals([(await Deno.stat(target)).uid, (await Deno.lstat(`${folder.path}/theirs/link`)).uid], [0, OWNER]);
});
