import { fileURLToPath } from "node:url";
import { computeDigest } from "../../lib/oci/digest.ts";
import { listFiles } from "../fuzz/check_store.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { copyFolder } from "../support/copy_folder.ts";
import { TestFolder } from "../support/test_folder.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FILES = ["main.ts", "deno.json", "deno.lock"];
const FOLDERS = ["lib", "scripts"];

/** Joins the modules of a copy of the sources in a folder. Returns the path of its `build/`. */
async function buildIn(root: string): Promise<string> {
  for (const folder of FOLDERS) await copyFolder(ROOT + folder, `${root}/${folder}`);
  for (const file of FILES) await Deno.copyFile(ROOT + file, `${root}/${file}`);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), { args: ["task", "-q", "build"], cwd: root })
    .output();
  assert(success, new TextDecoder().decode(stderr));
  return `${root}/build`;
}

/** The digest of each file of a folder. */
async function hashFiles(folder: string): Promise<Record<string, string>> {
  const entries = listFiles(folder).map(async (
    file,
  ) => [file, computeDigest(await Deno.readFile(`${folder}/${file}`))]);
  return Object.fromEntries(await Promise.all(entries));
}

Deno.test("the modules of an executable are joined to the same bytes in every folder, and name no file of the machine", async () => {
  await using folder = await TestFolder.create();
  // `deno task test` has joined them already.
  const build = Deno.env.has("CRPE_BUILD") ? `${ROOT}build` : await buildIn(`${folder.path}/a`);
  const first = await hashFiles(build);
  assertEquals(await hashFiles(await buildIn(`${folder.path}/another/folder`)), first);
  assert("main.js" in first && "assets/preact.js" in first);
  const cache = fileURLToPath(import.meta.resolve("valibot")).split("/valibot/")[0]!.slice(1);
  for (const name of Object.keys(first).filter((name) => name.endsWith(".js"))) {
    assert(!(await Deno.readTextFile(`${build}/${name}`)).includes(cache), name);
  }
});
