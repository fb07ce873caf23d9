/**
 * Runs the tests, the longest first, so that none of them begins when all others have ended.
 *
 *   deno run -A scripts/test.ts [unit] [OPTION of deno test]…
 *
 * `deno test` loads the modules of each file anew, which is two fifths of the work of the unit tests. Here the unit tests
 * of a room share them: a file in `tests/.rooms` imports the tests of the room.
 */
import { fileURLToPath } from "node:url";

const TESTS = fileURLToPath(new URL("../tests/", import.meta.url));
const ROOMS = `${TESTS}.rooms/`;
/** What takes longest, and begins first: Deno keeps the order of the files of a folder, and runs `tests/.rooms` last. */
const LONG = [
  "unit/delta",
  ...[
    "crash",
    "layer_delta",
    "fuzz_inputs",
    "kubectl_cluster",
    "fuzz_bundles",
    "page_install",
    "page_large_file",
    "evidence",
    "soak",
    "artifact_clients",
    "mirror_clients",
    "page_bad_input",
    "power_loss",
    "packages",
  ].map((name) => `integration/${name}_test.ts`),
];

const isUnit = Deno.args[0] === "unit";
const rooms = await writeRooms();
const files = isUnit ? [] : filesOf("integration").map((file) => [file, TESTS + file] as const);
const paths = new Map([...rooms, ...files]);
const missing = LONG.filter((name) => !isUnit && !paths.has(name));
if (missing.length > 0) throw new Error(`Cannot start with ${missing}: there is no such test`);
const names = [...LONG.filter((name) => paths.has(name)), ...paths.keys()];
const { code } = await new Deno.Command(Deno.execPath(), {
  args: [
    "test",
    "-A",
    "--parallel",
    ...Deno.args.slice(isUnit ? 1 : 0),
    ...new Set(names.map((name) => paths.get(name)!)),
  ],
  // Tests wait for processes and timers about a third of their time.
  env: { DENO_JOBS: Deno.env.get("DENO_JOBS") ?? `${navigator.hardwareConcurrency + 1}` },
}).spawn().status;
Deno.exitCode = code;

/** Writes a file for each room of the unit tests, and one for what is in no room; returns its path by the name of the room. */
async function writeRooms(): Promise<Map<string, string>> {
  await Deno.mkdir(ROOMS, { recursive: true });
  const rooms = Map.groupBy(filesOf("unit"), (file) => file.split("/").slice(0, -1).slice(0, 2).join("/"));
  const paths = new Map<string, string>();
  for (const [name, files] of rooms) {
    const path = `${ROOMS}${name.replace("/", "_")}.ts`;
    await Deno.writeTextFile(path, files.map((file) => `import "../${file}";\n`).join(""));
    paths.set(name, path);
  }
  return paths;
}

/** The files of tests in a folder of `tests`, and in the folders in it. */
function filesOf(folder: string): string[] {
  const entries = [...Deno.readDirSync(TESTS + folder)].sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? filesOf(path) : name.endsWith("_test.ts") ? [path] : [];
  });
}
