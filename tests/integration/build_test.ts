import { fileURLToPath } from "node:url";
import { assert, assertEquals } from "../support/assert.ts";
import { TestFolder } from "../support/test_folder.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SOURCES = ["main.ts", "deno.json", "deno.lock", "lib", "scripts"];

/** Joins the modules of a copy of the sources. Returns the digest of each file of `build/`. */
async function buildIn(folder: string): Promise<Record<string, string>> {
  await Deno.mkdir(folder, { recursive: true });
  for (const name of SOURCES) await run("cp", ["-R", ROOT + name, folder]);
  await run(Deno.execPath(), ["task", "-q", "build"], folder);
  const { stdout } = await run("sh", ["-c", "find . -type f -exec sha256sum {} +"], `${folder}/build`);
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  return Object.fromEntries(lines.map((line) => line.split(/ +\*?/).reverse()).sort());
}

async function run(command: string, args: string[], cwd = ROOT): Promise<Deno.CommandOutput> {
  const output = await new Deno.Command(command, { args, cwd, stdout: "piped", stderr: "piped" }).output();
  assert(output.success, new TextDecoder().decode(output.stderr));
  return output;
}

Deno.test("the modules of an executable are joined to the same bytes in every folder, and name no file of the machine", async () => {
  await using folder = await TestFolder.create();
  const first = await buildIn(`${folder.path}/a`);
  assertEquals(await buildIn(`${folder.path}/another/folder`), first);
  assert("./main.js" in first && "./assets/preact.js" in first);
  const cache = fileURLToPath(import.meta.resolve("valibot")).split("/valibot/")[0]!.slice(1);
  for (const name of Object.keys(first).filter((name) => name.endsWith(".js"))) {
    assert(!(await Deno.readTextFile(`${folder.path}/a/build/${name}`)).includes(cache), name);
  }
});
