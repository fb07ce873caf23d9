/**
 * Runs the tests, the longest first, so that none of them begins when all others have ended.
 *
 *   deno run -A scripts/test.ts [unit|integration] [--only=NAME,…] [OPTION of deno test]…
 *
 * `deno test` loads the modules of each file anew, which is two fifths of the work of the unit tests. Here files that are
 * beside each other share them: a file in `tests/.groups` imports several. Types are checked by `deno task check`. The
 * integration tests start crpe a thousand times: from the joined modules of `deno task build`, in half the time that the
 * sources take.
 */
import { fileURLToPath } from "node:url";
import { copyFolder } from "../tests/support/copy_folder.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const TESTS = `${ROOT}tests/`;
/** What takes longest, and begins first: Deno keeps the order of the files. */
const LONG = [
  "crash",
  "layer_delta",
  "fuzz_inputs",
  "kubectl_cluster",
  "fuzz_bundles",
  "page_screens",
  "page_nodes",
  "page_install",
  "page_large_file",
  "evidence",
  "soak",
  "artifact_clients",
  "mirror_clients",
  "page_bad_input",
  "power_loss",
  "packages",
  "signatures",
  "bucket_packages",
  "import",
  "kubectl",
  "verify_repair_records",
  "upstream_trouble",
  "push",
  "push_delta",
  "agent",
  "import_kill",
  "pack_checks",
  "load_save",
].map((name) => `integration/${name}_test.ts`);
/** How many files share their modules: unit tests take milliseconds, and of the others none may be left alone at the end. */
const FILES_OF_GROUP = { unit: 90, integration: 4 };

const kind = ["unit", "integration"].find((name) => name === Deno.args[0]);
const isUnit = kind === "unit";
const args = Deno.args.slice(kind === undefined ? 0 : 1);
const ONLY = "--only=";
const options = args.filter((arg) => !arg.startsWith(ONLY));
const all = isUnit ? [] : filesOf("integration");
// Names of integration tests; without any, all of them are run.
const only = args.filter((arg) => arg.startsWith(ONLY)).flatMap((arg) => arg.slice(ONLY.length).split(","))
  .map((name) => `integration/${name}_test.ts`);
const missing = [...LONG, ...only].filter((name) => !isUnit && !all.includes(name));
if (missing.length > 0) throw new Error(`Cannot find ${missing}: there is no such test`);
const files = only.length === 0 ? all : only;
const units = kind === "integration" ? [] : filesOf("unit");
// What is run from somewhere else needs no joined modules.
const modules = isUnit || Deno.env.has("CRPE") ? undefined : await build();
const paths = [
  ...await writeGroups("unit_delta", units.filter((file) => file.startsWith("unit/delta/")), Infinity),
  ...LONG.filter((name) => files.includes(name)).map((name) => TESTS + name),
  ...await writeGroups("unit", units.filter((file) => !file.startsWith("unit/delta/")), FILES_OF_GROUP.unit),
  ...await writeGroups("integration", files.filter((file) => !LONG.includes(file)), FILES_OF_GROUP.integration),
];
const { success } = await new Deno.Command(Deno.execPath(), {
  args: ["test", "-A", "--no-check", "--parallel", ...options, ...paths],
  env: {
    // Tests wait for processes and timers more than half of their time.
    DENO_JOBS: Deno.env.get("DENO_JOBS") ?? `${navigator.hardwareConcurrency * 2 + 1}`,
    ...modules === undefined ? {} : { CRPE_BUILD: modules },
  },
}).spawn().status;
Deno.exitCode = success ? 0 : 1;

/**
 * Joins the modules of crpe, and copies them. Deno reads all 250 files that `import()` names before it runs the first, so
 * that a short command takes twice the time; in the copy it does not see their names.
 *
 * @returns the folder of the copy
 */
async function build(): Promise<string> {
  const task = new Deno.Command(Deno.execPath(), { args: ["task", "-q", "build"], cwd: ROOT });
  if (!(await task.spawn().status).success) Deno.exit(1);
  const copy = `${TESTS}.groups/build/`;
  await Deno.remove(copy, { recursive: true }).catch(() => {});
  await copyFolder(`${ROOT}build`, copy);
  for await (const { name } of Deno.readDir(copy)) {
    if (!name.endsWith(".js")) continue;
    const text = await Deno.readTextFile(copy + name);
    await Deno.writeTextFile(copy + name, text.replaceAll(/import\("(\.\/[^"]+)"\)/g, 'import("" + "$1")'));
  }
  return copy;
}

/** Writes files that import so many tests each; returns their paths. */
async function writeGroups(name: string, files: readonly string[], size: number): Promise<string[]> {
  const folder = `${TESTS}.groups/`;
  await Deno.mkdir(folder, { recursive: true });
  const groups = Map.groupBy(files, (_, i) => Math.floor(i / size));
  return await Promise.all([...groups].map(async ([number, group]) => {
    const path = `${folder}${name}_${number + 1}.ts`;
    await Deno.writeTextFile(path, group.map((file) => `import "../${file}";\n`).join(""));
    return path;
  }));
}

/** The files of tests in a folder of `tests`, and in the folders in it. */
function filesOf(folder: string): string[] {
  const entries = [...Deno.readDirSync(TESTS + folder)].sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? filesOf(path) : name.endsWith("_test.ts") ? [path] : [];
  });
}
