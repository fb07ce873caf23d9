import { assertEquals } from "../support/assert.ts";

// An exported name is a promise to the rest of the program: it is one only when another file uses it.

const ROOT = new URL("../../", import.meta.url);
const NAME = /[A-Za-z_$][\w$]*/g;
const EXPORT =
  /^export (?:async |abstract |declare )*(?:const|let|function\*?|class|interface|type|enum)\s+(?<name>[A-Za-z_$][\w$]*)/gm;

/** Lists the programs and modules of some folders, by their paths in the project. */
function* listModules(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, ROOT))) {
    // tests/.groups has a copy of the joined modules, in which every name of lib occurs.
    if (name.startsWith(".")) continue;
    if (isDirectory) yield* listModules(`${folder}${name}/`);
    else if (/\.(?:ts|js)$/.test(name)) yield `${folder}${name}`;
  }
}

Deno.test("every exported name of lib is used by another file", () => {
  const modules = ["main.ts", ...["lib/", "scripts/", "tests/"].flatMap((folder) => [...listModules(folder)])];
  const texts = new Map(modules.map((path) => [path, Deno.readTextFileSync(new URL(path, ROOT))]));
  const users = new Map<string, number>();
  for (const text of texts.values()) {
    for (const name of new Set(text.match(NAME))) users.set(name, (users.get(name) ?? 0) + 1);
  }
  const unused: string[] = [];
  for (const [path, text] of texts) {
    if (!path.startsWith("lib/") || path.endsWith(".d.ts")) continue;
    for (const { groups } of text.matchAll(EXPORT)) {
      if (users.get(groups!.name!) === 1) unused.push(`${path} ${groups!.name}`);
    }
  }
  assertEquals(unused, []);
});
