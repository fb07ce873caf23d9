import { findLossStates, type LossState } from "../power_loss/loss_states.ts";
import { parseTrace } from "../power_loss/parse_trace.ts";
import { assert, assertEquals, assertThrows } from "../support/assert.ts";
import { TestFolder } from "../support/test_folder.ts";

// The model of a disk that tests/integration/power_loss_test.ts relies on: it has to find what a missing sync does.

const FOLDER = "/data";
const hex = (text: string) =>
  `"${[...text].map((char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`).join("")}"`;

/** A line of strace for each word: `write 3 text`, `fsync 3`, `rename a b`; paths are below the folder. */
function traceOf(steps: readonly string[]): string {
  const lines = steps.map((step) => {
    const [name = "", first = "", second = ""] = step.split(" ");
    const path = (word: string) => hex(`${FOLDER}/${word}`);
    switch (name) {
      case "open":
        return `openat(AT_FDCWD, ${path(first)}, O_WRONLY|O_CREAT|O_CLOEXEC, 0666) = ${second}`;
      case "folder":
        return `openat(AT_FDCWD, ${hex(FOLDER)}, O_RDONLY|O_CLOEXEC) = ${first}`;
      case "write":
        return `write(${first}, ${hex(second)}, ${second.length}) = ${second.length}`;
      case "rename":
        return `rename(${path(first)}, ${path(second)}) = 0`;
      case "unlink":
      case "mkdir":
        return `${name}(${path(first)}) = 0`;
      case "say":
        return `write(1, ${hex(first)}, ${first.length}) = ${first.length}`;
      default:
        return `${name}(${[first, second].filter((word) => word !== "").join(", ")}) = 0`;
    }
  });
  return lines.map((line, i) => `${100 + i % 2} ${line}`).join("\n");
}

async function statesOf(
  steps: readonly string[] | string,
  before: Readonly<Record<string, string>> = {},
): Promise<LossState[]> {
  await using folder = await TestFolder.create();
  for (const [name, text] of Object.entries(before)) await folder.write(name, text);
  const calls = parseTrace(typeof steps === "string" ? steps : traceOf(steps));
  return findLossStates(calls, {
    before: folder.path,
    folder: FOLDER,
    seed: 1,
    isReport: (call) => call.args[0] === "1",
  });
}

/** The contents that a file may have at the end: `-` where it is missing. NUL bytes are shown as 0. */
function contentsOf(states: readonly LossState[], path: string): string[] {
  const texts = states.filter(({ isReported }) => isReported).map(({ files }) => {
    return files.has(path) ? new TextDecoder().decode(files.get(path)).replaceAll("\0", "0") : "-";
  });
  return [...new Set(texts)].sort();
}

const DURABLE = ["open .a 3", "write 3 new", "fsync 3", "close 3", "rename .a a", "folder 4", "fsync 4", "close 4"];
const CASES: readonly [what: string, steps: readonly string[], contents: string[]][] = [
  ["a file that is synced, renamed, and its folder synced has its new content", DURABLE, ["new"]],
  ["without the sync of the folder it may be the old one", DURABLE.slice(0, 5), ["new", "old"]],
  ["without the sync of the file it may be empty, zeros or whole", DURABLE.filter((step) => step !== "fsync 3"), [
    "",
    "000",
    "new",
  ]],
  ["a sync before the write has no effect", [
    ...["open .a 3", "fsync 3", "write 3 new", "close 3", "rename .a a", "folder 4", "fsync 4"],
  ], ["", "000", "new"]],
  ["a write in place may be lost, or half done", ["open a 3", "write 3 n", "write 3 e"], ["ned", "nld", "oed", "old"]],
  ["a removal without a sync of the folder may be undone", ["unlink a"], ["-", "old"]],
  ["a removal with one is not undone", ["unlink a", "folder 4", "fsync 4"], ["-"]],
  [
    "a file that is cut short has its old bytes, its new ones, or zeros",
    ["open a 3", "ftruncate 3 1", "ftruncate 3 2"],
    [
      ...["o0", "o", "ol", "old"],
    ],
  ],
];
for (const [what, steps, contents] of CASES) {
  Deno.test(`the model of a power loss: ${what}`, async () => {
    const states = await statesOf([...steps, "say done"], { a: "old" });
    const found = contentsOf(states, "a");
    // What survives of several changes is random.
    assertEquals(found.filter((text) => !contents.includes(text)), []);
    assertEquals(found.includes(contents[0]!) && found.includes(contents.at(-1)!), true, found.join());
  });
}

Deno.test("the model of a power loss: a new folder may be missing with all that is synced in it", async () => {
  const steps = ["mkdir d", "open d/a 3", "write 3 new", "fsync 3", "say done"];
  assertEquals(contentsOf(await statesOf(steps), "d/a"), ["-", "new"]);
});

Deno.test("the model of a power loss: a state before the report promises nothing", async () => {
  const states = await statesOf(["open a 3", "write 3 new", "say done", "fsync 3"]);
  assert(states.some(({ isReported }) => !isReported));
  assert(states.some(({ isReported, what }) => isReported && what.startsWith("nothing unsynced survives after write")));
});

const text = (first: string, second: string) => `7 ${first}\n8 close(9) = 0\n7 ${second}`;
Deno.test("parseTrace() joins a call that another thread interrupted", () => {
  const [close, write] = parseTrace(text(`write(3, ${hex("ab")}, 2 <unfinished ...>`, "<... write resumed>) = 2"));
  assertEquals([close!.name, write!.name, write!.began, write!.ended, write!.result], ["close", "write", 0, 2, 2]);
  assertEquals(write!.args, ["3", "$", "2"]);
});

Deno.test("the model of a power loss refuses a trace that it does not understand", async () => {
  assertThrows(() => parseTrace(`7 write(3, ${hex("ab")}..., 200) = 200`), Error, "not whole");
  const splice = traceOf(["open a 3", "fallocate 3 0"]);
  let message = "";
  await statesOf(splice).catch((error) => message = error.message);
  assert(message.includes("Cannot replay fallocate"), message);
});
