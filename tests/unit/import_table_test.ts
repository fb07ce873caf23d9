import { assertEquals } from "../support/assert.ts";

// What the files of each folder of lib may import, besides what is in their own folder: folders, single files, and
// names of the import map. Imports point down. Of lib/content, what is above it gets the interfaces and the helpers
// that know of no store.
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  oci: ["node:crypto"],
  std: [],
  content: ["oci", "node:crypto"],
  upstream: ["oci", "content/source.ts", "content/verify.ts", "content/single_flight.ts"],
  registry: ["oci", "content/source.ts"],
  kubepkg: ["oci", "@std/semver", "@std/yaml", "valibot"],
  bundle: [
    ...["oci", "kubepkg", "content/source.ts", "content/verify.ts", "content/durable.ts"],
    ...["content/ingest_store.ts", "node:buffer", "node:crypto", "node:stream", "node:zlib"],
  ],
  agent: [
    ...["bundle", "kubepkg", "oci", "content/source.ts", "content/durable.ts", "content/layout.ts"],
    ...["content/list_folder.ts", "node:crypto"],
  ],
  cli: ["*"],
};

// What one file alone may import. An entry that is no longer needed fails.
const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  "agent/agent_answer.ts": ["../content/ingest.ts", "../content/verify.ts"],
  "agent/agent_options.ts": ["../content/ingest_store.ts"],
  "agent/api_token.ts": ["node:buffer"],
  "agent/blob_uploads.ts": ["../content/ingest.ts", "../content/verify.ts"],
  "agent/content_digest.ts": ["node:buffer"],
  "agent/push_bundle.ts": ["../content/verify.ts"],
  "agent/pending_packages.ts": ["../content/data_folder.ts"],
  "bundle/part_import.ts": ["../content/blob_pieces.ts"],
  "bundle/write_bundle_file.ts": ["../content/file_lock.ts", "../content/ingest.ts"],
  "cli/version.ts": ["../../deno.json"],
};

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
  const folder = path.split("/")[0]!;
  const allowed = ALLOWED[folder];
  if (allowed === undefined) return [`${path}: the folder is not in the table`];
  return findImports(text).filter((name) => {
    if (EXCEPTIONS[path]?.includes(name)) return false;
    if (!name.startsWith(".")) return !(isMapped(name) && (allowed.includes("*") || allowed.includes(name)));
    const target = new URL(name, new URL(path, LIB)).href;
    if (!target.startsWith(LIB.href)) return true;
    const targetPath = target.slice(LIB.href.length);
    const targetFolder = targetPath.split("/")[0]!;
    // Types of the standard library are free.
    if (targetFolder === folder || targetFolder === "std" && targetPath.endsWith(".d.ts")) return false;
    return !(allowed.includes("*") || allowed.includes(targetFolder) || allowed.includes(targetPath));
  }).map((name) => `${path}: ${name}`);
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

Deno.test("lib imports only what the table allows", async () => {
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

Deno.test("every exception to the table is needed", async () => {
  const imports = new Map((await readLib()).map(({ path, text }) => [path, findImports(text)]));
  const needed = Object.entries(EXCEPTIONS).flatMap(([path, names]) =>
    names.filter((name) => !imports.get(path)?.includes(name)).map((name) => `${path}: ${name}`)
  );
  assertEquals(needed, []);
});

Deno.test("only lib/cli reads arguments and environment, prints, and exits", async () => {
  assertEquals((await readLib()).flatMap(findProcessAccess), []);
});

const forbidden: [string, string, string][] = [
  ["an import that points up", "oci/x.ts", 'import { a } from "../content/source.ts";'],
  ["an import of a sibling", "registry/x.ts", 'import { a } from "../upstream/source.ts";'],
  ["an import of another file of a folder", "registry/x.ts", 'import type { A } from "../content/disk_store.ts";'],
  ["an export from another folder", "registry/x.ts", 'export { a } from "../content/verify.ts";'],
  ["an export of all", "upstream/x.ts", 'export * from "../registry/route.ts";'],
  ["an import over several lines", "kubepkg/x.ts", 'import {\n  a,\n  b,\n} from "../bundle/tar.ts";'],
  ["an import for its effects", "content/x.ts", 'import "../cli/run.ts";'],
  ["an import() on demand", "agent/x.ts", 'const a = await import("../cli/run.ts");'],
  ["an import() of what is computed", "cli/x.ts", "const a = await import(name);"],
  ["an import in quotes of the other kind", "oci/x.ts", "import { a } from '../content/source.ts';"],
  ["an import() over a line break", "agent/x.ts", 'const a = await import(\n  "../cli/run.ts",\n);'],
  ["types from another folder", "oci/x.ts", '// @ts-types="../content/source.ts"\n'],
  ["an import from outside of lib", "cli/x.ts", 'import { a } from "../../tests/support/images.ts";'],
  ["a bare name that is not in the import map", "cli/x.ts", 'import { a } from "left-pad";'],
  ["a bare name that the folder has no need of", "oci/x.ts", 'import { parse } from "@std/yaml";'],
  ["a module by its registry", "cli/x.ts", 'import { a } from "npm:left-pad@1.0.0";'],
  ["a module by its address", "cli/x.ts", 'import { a } from "https://example.com/a.ts";'],
  ["a folder that is not in the table", "other/x.ts", ""],
];
const isMapped = (name: string) => name.startsWith("node:") || name.startsWith("@std/");
for (const [what, path, text] of forbidden) {
  Deno.test(`the table forbids ${what}`, () => {
    assertEquals(findForbiddenImports({ path, text }, isMapped).length, 1);
  });
}

const permitted: [string, string, string][] = [
  ["a file of the same folder", "registry/x.ts", 'import { a } from "./range.ts";'],
  [
    "what is below",
    "bundle/x.ts",
    'import { a } from "../kubepkg/plan.ts";\nimport { b } from "../content/verify.ts";',
  ],
  ["everything in lib/cli", "cli/x.ts", 'import { a } from "../agent/install.ts";\nimport { b } from "@std/semver";'],
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
