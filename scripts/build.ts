/**
 * Joins the modules of crpe and of its packages into the few files of `build/`, from which `deno task compile` makes the
 * executable: 250 files of JavaScript without comments instead of 800 of TypeScript. The executable is smaller, starts
 * faster and takes less memory (docs/performance.md). A command stays in files of its own, which are read when it is
 * used, and names stay, so that a stack trace can be read.
 *
 *   deno task build
 *
 * `build/deno.json` has the permissions of the executable, and `build/assets` the files of the page, those of its
 * packages, and the licenses of all packages.
 */
import { createRequire, isBuiltin } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import {
  build,
  initialize,
  type OnLoadResult,
  type OnResolveArgs,
  type OnResolveResult,
  stop,
} from "esbuild-wasm/browser";
import project from "../deno.json" with { type: "json" };
import { isInExecutable } from "./make_sbom.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const ASSETS = `${ROOT}lib/page/assets/`;
const OUT = `${ROOT}build/`;
/** `"NAME": new URL(import.meta.resolve("PACKAGE"))`: an asset of the page that is the file of a package. */
const PACKAGE_ASSET = /"([\w.]+)": new URL\(import\.meta\.resolve\("([^"]+)"\)\)/g;
/** The folder of a package in the cache of Deno, its name and its version. */
const PACKAGE = /^.*\/(@[^/]+\/[^/]+|(?<!\/@[^/]+\/)[^/]+)\/(\d+\.\d+\.\d+[^/]*)\//;

/** The namespace of modules. The path of one of crpe is that in the repository, of others `valibot@1.2.0/dist/index.mjs`. */
const MODULES = "crpe";

const MIT =
  `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`;
/** Notices that packages lack: of a package without a file, and of Preact, which htm has in its standalone module. */
const NOTICES: Readonly<Record<string, string>> = {
  "deno-std": `MIT License\n\nCopyright the Deno authors.\n\n${MIT}`,
  "htm": `Preact: The MIT License (MIT)\n\nCopyright (c) 2015-present Jason Miller\n\n${MIT}`,
};

/** The packages of which a file was read: `valibot@1.2.0` → its folder. */
const packages = new Map<string, string>();
/** The modules: path → file. Names in `build/` depend on paths, and must be the same on every machine. */
const files = new Map<string, string>();

/** Resolves a name as Deno does: in our modules by the import map, in a package by Node's rules. */
function resolveModule({ path, importer, kind }: OnResolveArgs): OnResolveResult {
  if (kind === "entry-point") return describeModule(import.meta.resolve(`../${path}`));
  if (isBuiltin(path)) {
    const name = path.startsWith("node:") ? path : `node:${path}`;
    // A module that calls require() gets the builtin one from a module that imports it.
    return kind === "require-call" ? { path: name, namespace: "builtin" } : { path: name, external: true };
  }
  const file = files.get(importer)!;
  if (/^\.{0,2}\//.test(path) && kind !== "require-call") return describeModule(new URL(path, pathToFileURL(file)));
  const isOurs = file.startsWith(ROOT);
  return describeModule(isOurs ? import.meta.resolve(path) : pathToFileURL(createRequire(file).resolve(path)));
}

function describeModule(url: string | URL): OnResolveResult {
  const file = fileURLToPath(url);
  const path = file.startsWith(ROOT) ? file.slice(ROOT.length) : pathInPackage(file);
  files.set(path, file);
  return { path, namespace: MODULES };
}

function pathInPackage(file: string): string {
  const { id, folder } = notePackage(file);
  return `${id}/${file.slice(folder.length)}`;
}

function resolvePackage(specifier: string): string {
  return fileURLToPath(import.meta.resolve(specifier));
}

async function loadModule(path: string): Promise<OnLoadResult> {
  const text = await Deno.readTextFile(files.get(path)!);
  if (path.endsWith(".json")) return { contents: text, loader: "json" };
  const assets: Promise<void>[] = [];
  const contents = text.replaceAll(PACKAGE_ASSET, (_, name: string, specifier: string) => {
    const file = resolvePackage(specifier);
    notePackage(file);
    assets.push(Deno.copyFile(file, `${OUT}assets/${name}`));
    return `"${name}": new URL("./assets/${name}", import.meta.url)`;
  });
  await Promise.all(assets);
  return { contents, loader: path.endsWith(".ts") ? "ts" : "js" };
}

function notePackage(path: string): { readonly id: string; readonly folder: string } {
  const [folder, name, version] = PACKAGE.exec(path) ?? [];
  if (folder === undefined || !isInExecutable(`${name}@${version}`)) {
    throw new Error(`Cannot join ${path}: it is not part of a package that an executable may contain`);
  }
  const id = `${name}@${version}`;
  packages.set(id, folder);
  return { id, folder };
}

/** The license of each package: its file, or the license that is written here. */
async function readLicenses(): Promise<string> {
  const texts: string[] = [];
  for (const [name, folder] of [...packages].sort()) {
    const file = [...Deno.readDirSync(folder)].find((entry) => /^licen[cs]e/i.test(entry.name));
    const notices = Object.entries(NOTICES).flatMap(([key, notice]) => name.startsWith(`${key}@`) ? [notice] : []);
    if (file !== undefined) notices.unshift((await Deno.readTextFile(folder + file.name)).trim());
    if (notices.length === 0) throw new Error(`Cannot join ${name}: it has no license`);
    texts.push(`${name}\n\n${notices.join("\n\n")}\n`);
  }
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

async function emptyFolder(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true });
  for await (const { name } of Deno.readDir(path)) await Deno.remove(`${path}${name}`, { recursive: true });
}

await emptyFolder(OUT);
await Deno.mkdir(`${OUT}assets`);
for await (const { name } of Deno.readDir(ASSETS)) await Deno.copyFile(ASSETS + name, `${OUT}assets/${name}`);
const wasm = await Deno.readFile(resolvePackage("esbuild-wasm/esbuild.wasm"));
await initialize({ wasmModule: await WebAssembly.compile(wasm), worker: false });
const { outputFiles } = await build({
  entryPoints: ["main.ts"],
  outdir: "/",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "neutral",
  target: "esnext",
  minifyWhitespace: true,
  legalComments: "none",
  write: false,
  plugins: [{
    name: "deno",
    setup: ({ onResolve, onLoad }) => {
      onResolve({ filter: /./ }, resolveModule);
      onLoad({ filter: /./, namespace: "builtin" }, ({ path }) => ({ contents: `export * from "${path}";` }));
      onLoad({ filter: /./, namespace: MODULES }, ({ path }) => loadModule(path));
    },
  }],
});
await stop();
for (const { path, contents } of outputFiles) await Deno.writeFile(OUT + path.slice(1), contents);
await Deno.writeTextFile(`${OUT}assets/THIRD_PARTY_LICENSES`, await readLicenses());
const { unstable, permissions } = project;
await Deno.writeTextFile(`${OUT}deno.json`, JSON.stringify({ unstable, permissions }));
