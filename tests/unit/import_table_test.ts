import { assertEquals } from "../support/assert.ts";
import { IMPORT_TABLE } from "../support/import_table.ts";

// Outside of lib: the program's version is the one in deno.json.
const PROJECT_FILE = new URL("../../deno.json", import.meta.url).href;

// What only the folder that meets the process may touch.
const PROCESS = /\bDeno\s*\.\s*(?:args|env|exit|exitCode)\b|\b(?:console|process)\s*\.\s*\w+/g;

const LIB = new URL("../../lib/", import.meta.url);
const TOKEN = /("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;
const IMPORT = /\b(?:import|export)\b[^;=()#]*?\bfrom\s*#(\d+)#|\bimport\s*\(?\s*#(\d+)#/g;
const TYPES_PRAGMA = /@ts-(?:self-)?types="([^"]+)"/g;

interface SourceFile {
  /** `registry/route.ts` */
  readonly path: string;
  readonly text: string;
}

/** What a file imports, and the types that it names for an import. */
function findImports(text: string): string[] {
  const { code, literals } = splitLiterals(text);
  return [
    ...[...code.matchAll(IMPORT)].map((match) => literals[Number(match[1] ?? match[2])]!),
    ...[...text.matchAll(TYPES_PRAGMA)].map((match) => match[1]!),
    // What is computed cannot be checked.
    ...[...code.matchAll(/\bimport\s*\(\s*(?![#\s])/g)].map(() => "import() of a name that is computed"),
  ];
}

/** Every import that the table does not allow, as `file: import`. */
function findForbiddenImports({ path, text }: SourceFile, isMapped: (name: string) => boolean): string[] {
  const room = roomOf(path);
  const allowed = room === undefined ? undefined : IMPORT_TABLE[room];
  if (room === undefined || allowed === undefined) return [`${path}: the folder is not in the table`];
  const isAny = allowed.includes("*");
  return findImports(text).filter((name) => {
    if (!name.startsWith(".")) return !(isMapped(name) && (isAny || allowed.includes(name)));
    const target = new URL(name, new URL(path, LIB)).href;
    if (target === PROJECT_FILE) return !isAny;
    const targetPath = target.startsWith(LIB.href) ? target.slice(LIB.href.length) : undefined;
    const targetRoom = targetPath === undefined ? undefined : roomOf(targetPath);
    if (targetRoom === undefined) return true;
    // Type declarations of the standard library are free.
    if (targetRoom === room || targetRoom === "std" && target.endsWith(".d.ts")) return false;
    // "*" stands for every room below lib/cli.
    if (isAny && !targetRoom.startsWith("cli")) return false;
    return !allowed.some((name) =>
      name === targetRoom || !room.startsWith(`${name}/`) && targetRoom.startsWith(`${name}/`)
    );
  }).map((name) => `${path}: ${name}`);
}

// The row that counts for a file: that of its own folder, else of the folder above. `undefined`: there is none.
function roomOf(path: string): string | undefined {
  for (let folder = path; folder.includes("/");) {
    folder = folder.slice(0, folder.lastIndexOf("/"));
    if (Object.hasOwn(IMPORT_TABLE, folder)) return folder;
  }
  return undefined;
}

function findProcessAccess({ path, text }: SourceFile): string[] {
  if (path.startsWith("cli/")) return [];
  return [...splitLiterals(text).code.matchAll(PROCESS)].map(([found]) => `${path}: ${found}`);
}

// Without its comments, and with a number in place of each text: neither must be taken for code.
function splitLiterals(text: string): { code: string; literals: string[] } {
  const literals: string[] = [];
  const code = text.replace(TOKEN, (_, literal?: string) => {
    if (literal === undefined) return " ";
    // Code inside of a template is code all the same.
    const inner = literal.startsWith("`") ? [...literal.matchAll(/\$\{([^}]*)\}/g)].map((match) => match[1]) : [];
    return `#${literals.push(literal.slice(1, -1)) - 1}# ${inner.join(" ")}`;
  });
  return { code, literals };
}

async function readLib(folder = ""): Promise<SourceFile[]> {
  const found: SourceFile[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL(folder, LIB))) {
    if (isDirectory) found.push(...await readLib(`${folder}${name}/`));
    else if (name.endsWith(".ts")) {
      const path = `${folder}${name}`;
      found.push({ path, text: await Deno.readTextFile(new URL(path, LIB)) });
    }
  }
  return found;
}

async function readImportMap(): Promise<(name: string) => boolean> {
  const { imports } = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
  return (name) => name.startsWith("node:") || Object.hasOwn(imports, name);
}

Deno.test("lib imports only what the table of rooms allows", async () => {
  const isMapped = await readImportMap();
  const files = await readLib();
  assertEquals(files.flatMap((file) => findForbiddenImports(file, isMapped)), []);
});

Deno.test("no import of lib is overlooked", async () => {
  for (const { path, text } of await readLib()) {
    const plain = [...text.matchAll(/^(?:import|export|\}) .*from "([^"]+)"/gm)].map((match) => match[1]!);
    const found = findImports(text);
    assertEquals(plain.filter((name) => !found.includes(name)), [], path);
  }
});

Deno.test("no files of lib import each other in a circle", async () => {
  const imports = new Map((await readLib()).map(({ path, text }) => {
    const targets = findImports(text).filter((name) => name.startsWith("."));
    return [path, targets.map((name) => new URL(name, new URL(path, LIB)).href.slice(LIB.href.length))];
  }));
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, trail: readonly string[]) => {
    if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
    else if (!done.has(path)) {
      for (const target of imports.get(path) ?? []) visit(target, [...trail, path]);
      done.add(path);
    }
  };
  for (const path of imports.keys()) visit(path, []);
  assertEquals(circles, []);
});

Deno.test("no file of lib has over 300 lines", async () => {
  const long = (await readLib()).filter(({ text }) => text.split("\n").length > 301);
  assertEquals(long.map(({ path }) => path), []);
});

Deno.test("every row of the table is a folder that exists, and every entry of it is needed", async () => {
  const files = await readLib();
  const unneeded = Object.entries(IMPORT_TABLE).flatMap(([room, names]) => {
    const own = files.filter(({ path }) => roomOf(path) === room);
    if (own.length === 0 && room !== "std") return [`${room}: has no files`];
    return names.filter((name) => name.includes(":") || name.includes("@")).filter((name) =>
      !own.some(({ text }) => findImports(text).includes(name))
    ).map((name) => `${room}: ${name}`);
  });
  assertEquals(unneeded, []);
});

Deno.test("only lib/cli reads arguments and environment, prints, and exits", async () => {
  assertEquals((await readLib()).flatMap(findProcessAccess), []);
});

const forbidden: [string, string, string][] = [
  ["an import that points up", "oci/x.ts", 'import { a } from "../content/source.ts";'],
  ["an import of a sibling", "registry/x.ts", 'import { a } from "../upstream/upstream_source.ts";'],
  ["an import of a room that has no row here", "registry/x.ts", 'import type { A } from "../store/disk_store.ts";'],
  ["an export from another room", "registry/x.ts", 'export { a } from "../store/gc.ts";'],
  ["an export of all", "upstream/x.ts", 'export * from "../registry/route.ts";'],
  ["an import over several lines", "kubepkg/x.ts", 'import {\n  a,\n  b,\n} from "../bundle/tar.ts";'],
  ["an import for its effects", "content/x.ts", 'import "../cli/run.ts";'],
  ["an import() on demand", "agent/x.ts", 'const a = await import("../cli/run.ts");'],
  ["an import() of a computed name", "cli/x.ts", "const a = await import(name);"],
  ["an import in quotes of the other kind", "oci/x.ts", "import { a } from '../content/source.ts';"],
  ["an import() over a line break", "agent/x.ts", 'const a = await import(\n  "../cli/run.ts",\n);'],
  ["types from another room", "oci/x.ts", '// @ts-types="../content/source.ts"\n'],
  ["an import from outside of lib", "cli/x.ts", 'import { a } from "../../tests/support/images.ts";'],
  ["an import of deno.json below lib/cli", "oci/x.ts", 'import project from "../../deno.json" with { type: "json" };'],
  ["an inner room's import of its own room", "upstream/trust/x.ts", 'import { a } from "../endpoints.ts";'],
  ["a room's import of another room's client", "agent/x.ts", 'import { a } from "./client/push_bundle.ts";'],
  ["an import up inside lib/cli", "cli/console/x.ts", 'import { a } from "../wiring/open_content.ts";'],
  ["a bare name that is not in the import map", "cli/x.ts", 'import { a } from "left-pad";'],
  ["a bare name that the room has no need of", "oci/x.ts", 'import { parse } from "@std/yaml";'],
  ["a module by its registry", "cli/x.ts", 'import { a } from "npm:left-pad@1.0.0";'],
  ["a module by its address", "cli/x.ts", 'import { a } from "https://example.com/a.ts";'],
  ["a room that is not in the table", "other/x.ts", ""],
];
const isMapped = (name: string) => name.startsWith("node:") || name.startsWith("@std/");
for (const [what, path, text] of forbidden) {
  Deno.test(`the table forbids ${what}`, () => {
    assertEquals(findForbiddenImports({ path, text }, isMapped).length, 1);
  });
}

const permitted: [string, string, string][] = [
  ["a file of the same room", "registry/x.ts", 'import { a } from "./route.ts";'],
  [
    "a room below",
    "bundle/x.ts",
    'import { a } from "../kubepkg/version.ts";\nimport { b } from "../archive/tar_reader.ts";',
  ],
  ["an inner room of a room below", "doctor/x.ts", 'import { a } from "../upstream/transport/redact.ts";'],
  ["the room around an inner room", "agent/client/x.ts", 'import { a } from "../protocol.ts";'],
  ["everything in lib/cli", "cli/x.ts", 'import { a } from "../agent/route.ts";\nimport { b } from "@std/semver";'],
  ["types of the standard library", "agent/x.ts", '// @ts-types="../std/semver.d.ts"\n'],
  ["the word import in a text", "oci/x.ts", 'run("import", "x"); const a = [`import "../cli/run.ts"`];'],
  ["an import in a comment", "oci/x.ts", '// import { a } from "../cli/run.ts";\n/* import "../cli/run.ts"; */'],
  ["a URL in a text", "oci/x.ts", 'const a = "https://example.com/"; import "./digest.ts";'],
];
for (const [what, path, text] of permitted) {
  Deno.test(`the table permits ${what}`, () => {
    assertEquals(findForbiddenImports({ path, text }, isMapped), []);
  });
}

const access: [string, string[]][] = [
  ["Deno.args[0]", ["Deno.args"]],
  ['Deno.env.get("X")', ["Deno.env"]],
  ["Deno\n  .exit(1)", ["Deno\n  .exit"]],
  ["console.log(1)", ["console.log"]],
  ["`${Deno.args}`", ["Deno.args"]],
  ['"console.log(1)"', []],
  ["process.env.X", ["process.env"]],
  ['// console.log(1)\nDeno.open("x")', []],
];
for (const [text, expected] of access) {
  Deno.test(`the process is ${expected.length > 0 ? "touched" : "left alone"} by ${JSON.stringify(text)}`, () => {
    assertEquals(findProcessAccess({ path: "oci/x.ts", text }), expected.map((found) => `oci/x.ts: ${found}`));
    assertEquals(findProcessAccess({ path: "cli/x.ts", text }), []);
  });
}
