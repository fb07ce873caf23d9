import { AuditLog, type AuditLogOptions } from "../../../lib/files/audit_log.ts";
import { guardFolder } from "../../../lib/files/durable.ts";
import { CrpeError, RefusedError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

type Line = Record<string, unknown>;
const BY = { token: "ci", address: "10.0.0.7" };
const ENTRY = { action: "removal", by: BY, name: "web" };

function parse(text: string): Line[] {
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

/** Creates a log in a folder of its own, with its problems. */
async function createLog(options: AuditLogOptions = {}) {
  const folder = await TestFolder.create();
  const problems: string[] = [];
  const log = new AuditLog(folder.path, { onProblem: ({ message }) => problems.push(message), ...options });
  const path = (number = 0) => `${folder.path}/audit${number === 0 ? "" : `.${number}`}.ndjson`;
  return {
    folder,
    log,
    problems,
    path,
    read: async (number?: number) => parse(await Deno.readTextFile(path(number))),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

Deno.test("[105] an action has a line for its begin and one for its end, in a file of mode 0600", async () => {
  await using site = await createLog({ now: () => Date.parse("2026-11-28T12:00:00Z") });
  assertEquals(await site.log.run(ENTRY, () => Promise.resolve(7), { describe: () => ({ result: "removed" }) }), 7);
  await assertRejects(() => site.log.run(ENTRY, () => Promise.reject(new RefusedError("no\n way"))), RefusedError);
  await assertRejects(() => site.log.run(ENTRY, () => Promise.reject(new Error("broken"))), Error, "broken");
  const lines = await site.read();
  const ids = lines.map(({ id }) => id);
  assertEquals([ids[0] === ids[1], ids[2] === ids[3], new Set(ids).size], [true, true, 3]);
  const common = { time: "2026-11-28T12:00:00.000Z", ...ENTRY };
  assertEquals(lines.map(({ id: _, ...line }) => line), [
    { ...common, phase: "begin" },
    { ...common, phase: "end", result: "removed" },
    { ...common, phase: "begin" },
    { ...common, phase: "end", result: "refused", error: "no way" },
    { ...common, phase: "begin" },
    { ...common, phase: "end", result: "failed", error: "broken" },
  ]);
  assertEquals((await Deno.stat(site.path())).mode! & 0o777, 0o600);
});

Deno.test("[105] files are rotated by their size, and their number is limited", async () => {
  await using site = await createLog({ maxBytes: 300 });
  for (let i = 0; i < 40; i++) await site.log.begin(`${i}`, ENTRY);
  const names = [...Deno.readDirSync(site.folder.path)].map(({ name }) => name).sort();
  const numbers = [8, 7, 6, 5, 4, 3, 2, 1];
  assertEquals(names, [...numbers.map((number) => `audit.${number}.ndjson`).reverse(), "audit.ndjson"]);
  const lines = await Promise.all([...numbers, undefined].map((number) => site.read(number)));
  const ids = lines.flat().map(({ id }) => Number(id));
  assertEquals(ids, Array.from({ length: ids.length }, (_, i) => 40 - ids.length + i));
  for (const name of names) assert(Deno.statSync(`${site.folder.path}/${name}`).size <= 300, name);
});

Deno.test("[105] several writers lose no line, also while files are rotated", async () => {
  await using site = await createLog();
  const options = { maxBytes: 2000 };
  const writers = Array.from({ length: 4 }, () => new AuditLog(site.folder.path, options));
  await Promise.all(writers.flatMap((log, w) => Array.from({ length: 20 }, (_, i) => log.begin(`${w}-${i}`, ENTRY))));
  const found: unknown[] = [];
  for (const { name } of Deno.readDirSync(site.folder.path)) {
    found.push(...parse(Deno.readTextFileSync(`${site.folder.path}/${name}`)).map(({ id }) => id));
  }
  assertEquals([found.length, new Set(found).size], [80, 80]);
});

Deno.test("[105] a line that a process has left in the middle does not damage the next one", async () => {
  await using site = await createLog();
  await site.log.begin("1", ENTRY);
  await Deno.writeTextFile(site.path(), '{"id":"cut', { append: true });
  await site.log.begin("2", ENTRY);
  const [first, cut, second] = (await Deno.readTextFile(site.path())).trimEnd().split("\n");
  assertEquals([JSON.parse(first!).id, cut, JSON.parse(second!).id], ["1", '{"id":"cut', "2"]);
});

Deno.test("[105] what cannot be logged is not begun, unless it frees space or takes a right away", async () => {
  await using site = await createLog();
  await Deno.mkdir(site.path());
  let done = 0;
  const work = () => Promise.resolve(done++);
  await assertRejects(() => site.log.run(ENTRY, work), Error, "nothing was changed");
  assertEquals([done, site.problems.length], [0, 0]);
  await site.log.run(ENTRY, work, { isFreeing: true });
  assertEquals([done, site.problems.length], [1, 2]);
});

Deno.test("[109] an action is not begun, and no log is made, in an empty folder in the place of the data folder", async () => {
  await using folder = await TestFolder.create();
  const data = `${folder.path}/data`;
  await Deno.mkdir(data);
  using _served = guardFolder(data);
  await Deno.rename(data, `${data}.aside`);
  await Deno.mkdir(data);
  const run = () => new AuditLog(data).run(ENTRY, () => Promise.reject(new Error("begun")));
  await assertRejects(run, CrpeError, "it was moved, removed or unmounted while crpe is running");
  assertEquals(await folder.listFiles("data"), []);
});
