import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "../support/assert.ts";
import { copyFolder } from "../support/copy_folder.ts";
import { TestFolder } from "../support/test_folder.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FILES = ["main.ts", "deno.json", "deno.lock"];
const FOLDERS = ["lib", "scripts"];

/** Joins the modules of a copy of the sources in `name`. Returns the digest of each file of `build/`. */
async function buildIn(folder: TestFolder, name: string): Promise<Record<string, string>> {
  const root = `${folder.path}/${name}`;
  for (const folder of FOLDERS) await copyFolder(ROOT + folder, `${root}/${folder}`);
  for (const file of FILES) await Deno.copyFile(ROOT + file, `${root}/${file}`);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), { args: ["task", "-q", "build"], cwd: root })
    .output();
  assert(success, new TextDecoder().decode(stderr));
  const files = await folder.listFiles(`${name}/build`);
  const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  const entries = files.map(async (file) => [file, hash(await Deno.readFile(`${root}/build/${file}`))]);
  return Object.fromEntries(await Promise.all(entries));
}

Deno.test("the modules of an executable are joined to the same bytes in every folder, and name no file of the machine", async () => {
  await using folder = await TestFolder.create();
  const first = await buildIn(folder, "a");
  assertEquals(await buildIn(folder, "another/folder"), first);
  assert("main.js" in first && "assets/preact.js" in first);
  const cache = fileURLToPath(import.meta.resolve("valibot")).split("/valibot/")[0]!.slice(1);
  for (const name of Object.keys(first).filter((name) => name.endsWith(".js"))) {
    assert(!(await Deno.readTextFile(`${folder.path}/a/build/${name}`)).includes(cache), name);
  }
});
