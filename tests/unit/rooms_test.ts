import { assertEquals, fail } from "../support/assert.ts";
import { IMPORT_TABLE } from "../support/import_table.ts";

// Holds the opening page of each room, and lib/ARCHITECTURE.md, to the folders and files that there are.

const LIB = new URL("../../lib/", import.meta.url);
const ARCHITECTURE = Deno.readTextFileSync(new URL("ARCHITECTURE.md", LIB));
const [FOLDERS, FILES] = listLib();

/** Lists the folders and the files of lib, by their paths in it. */
function listLib(): [folders: string[], files: string[]] {
  const folders: string[] = [];
  const files: string[] = [];
  const list = (folder: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(new URL(folder, LIB))) {
      const path = `${folder}${name}`;
      if (!isDirectory) files.push(path);
      else {
        folders.push(path);
        list(`${path}/`);
      }
    }
  };
  list("");
  return [folders.sort(), files];
}

function formatImports(names: readonly string[]): string {
  const rooms = names.filter((name) => name === "*" || Object.hasOwn(IMPORT_TABLE, name));
  const words = rooms.map((name) => name === "*" ? "every room outside of `cli`" : `\`${name}\``);
  return `May import: ${words.length === 0 ? "no other room" : words.join(", ")}.`;
}

// Every file of page/assets becomes part of the executable, so that the README.md of page is theirs too.
for (const room of FOLDERS.filter((folder) => folder !== "page/assets")) {
  Deno.test(`lib/${room}/README.md says what the room is for, what it may import, and where to start`, async () => {
    const text = await Deno.readTextFile(new URL(`${room}/README.md`, LIB));
    const names = IMPORT_TABLE[room] ?? fail(`${room} is not in the table`);
    const [heading, purpose, imports, start = "", ...more] = text.trim().split("\n\n").map((it) =>
      it.replaceAll("\n", " ")
    );
    assertEquals([heading, imports, more], [`# ${room}`, formatImports(names), []]);
    assertEquals([purpose?.endsWith("."), start.startsWith("Start with ")], [true, true]);
    const named = [...start.matchAll(/`([^`]+)`/g)].map(([, path]) => `${room}/${path}`);
    assertEquals(named.filter((path) => !FILES.includes(path)), []);
  });
}

function listTree(): string[] {
  const [, tree = ""] = /^```\nmain\.ts[^]*?^lib\/\n([^]*?)^```$/m.exec(ARCHITECTURE) ?? [];
  const trail: string[] = [];
  return [...tree.matchAll(/^( +)([a-z_]+)\/ /gm)].map(([, indent, name]) => {
    trail.length = indent!.length / 2 - 1;
    trail.push(name!);
    return trail.join("/");
  });
}

Deno.test("the tree in lib/ARCHITECTURE.md has every folder of lib, and no other", () => {
  assertEquals(listTree().sort(), FOLDERS);
});

Deno.test("the tree in lib/ARCHITECTURE.md has each room below those that it imports, its own inner rooms excepted", () => {
  const tree = listTree();
  const wrong = Object.entries(IMPORT_TABLE).flatMap(([room, names]) => {
    const below = names.filter((name) => tree.indexOf(name) > tree.indexOf(room) && !name.startsWith(`${room}/`));
    return below.map((name) => `${room}: ${name}`);
  });
  assertEquals(wrong, []);
});

// Within one cell, or one paragraph, a name without a folder is a file of the folder that was named last.
Deno.test("every file that lib/ARCHITECTURE.md names in code exists", async () => {
  const missing: string[] = [];
  for (const place of ARCHITECTURE.replace(/^```[^]*?^```$/gm, "").split(/\n\n|^\||\|$| \| /gm)) {
    let folder = "";
    for (const [, path = ""] of place.matchAll(/`([a-z_/0-9.]+\.(?:ts|js|md))`/g)) {
      const full = path.includes("/") ? path : `${folder}${path}`;
      folder = full.slice(0, full.lastIndexOf("/") + 1);
      if (!FILES.includes(full) && !await exists(new URL(`../${path}`, LIB))) missing.push(path);
    }
  }
  assertEquals(missing, []);
});

Deno.test("every module in the journeys of lib/ARCHITECTURE.md exists", () => {
  const names = new Set(FOLDERS.map((folder) => folder.split("/").at(-1)!));
  const journeys = [...ARCHITECTURE.matchAll(/^```\n([^]*?)^```$/gm)].map(([, block]) => block!)
    .filter((block) => block.includes(" → "));
  const modules = journeys.join("").matchAll(/(?<![\w/.<])([a-z_]+)\/([a-z_]+)(?![\w/<.])/g);
  const found = [...modules].filter(([, folder]) => names.has(folder!)).map(([path]) => path);
  assertEquals(found.length > 20, true);
  assertEquals(found.filter((path) => !FILES.some((file) => `/${file}`.endsWith(`/${path}.ts`))), []);
});

async function exists(path: URL): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
