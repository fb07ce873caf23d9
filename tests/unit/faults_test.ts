import { assertEquals } from "../support/assert.ts";

// Holds tests/FAULTS.md to the tests: a number means the same fault wherever it is written.

const ROOT = new URL("../../", import.meta.url);
const COMMENT_OR_STRING = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g;

interface SourceFile {
  /** `tests/unit/faults_test.ts` */
  readonly path: string;
  readonly text: string;
}

interface Fault {
  readonly number: number;
  readonly isLater: boolean;
}

/** Reads the list: a line `- [31] …` for each fault. */
function parseFaults(text: string): Fault[] {
  return [...text.matchAll(/^- \[(\d+)\] (.+)$/gm)].map(([, number, line]) => {
    return { number: Number(number), isLater: line!.endsWith("(later)") };
  });
}

/** The numbers at the head or the end of the strings that name tests: `[4] [12] …`, `… [4][12]`. */
function findTestNumbers(text: string): number[] {
  return tokensOf(text).filter((token) => !token.startsWith("/")).flatMap((token) => {
    const inside = token.slice(1, -1);
    const numbers = /^(?:\[\d+\] ?)*\[\d+\] /.exec(inside)?.[0] ?? / (?:\[\d+\] ?)+$/.exec(inside)?.[0] ?? "";
    return numbersIn(numbers);
  });
}

/** The numbers that comments refer to: `fault 31`, `faults 54 and 56`. */
function findCommentNumbers(text: string): number[] {
  return tokensOf(text).filter((token) => token.startsWith("/")).flatMap((comment) => {
    return [...comment.matchAll(/\bfaults? (\d+(?:(?:,| and|, and) \d+)*)/gi)].flatMap(([, numbers]) => {
      return numbersIn(numbers!);
    });
  });
}

function tokensOf(text: string): string[] {
  return [...text.matchAll(COMMENT_OR_STRING)].map(([token]) => token);
}

function numbersIn(text: string): number[] {
  return [...text.matchAll(/\d+/g)].map(([digits]) => Number(digits));
}

async function readSources(folder: string): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL(folder, ROOT))) {
    const path = `${folder}${name}`;
    if (isDirectory) files.push(...await readSources(`${path}/`));
    else if (path.endsWith(".ts")) files.push({ path, text: await Deno.readTextFile(new URL(path, ROOT)) });
  }
  return files;
}

const faults = parseFaults(await Deno.readTextFile(new URL("tests/FAULTS.md", ROOT)));
const listed = new Set(faults.map(({ number }) => number));
const tests = (await readSources("tests/")).filter(({ path }) => path !== "tests/unit/faults_test.ts");
const sources = [...tests, ...await readSources("lib/")];
const tested = new Set(tests.flatMap(({ text }) => findTestNumbers(text)));

function findUnlisted(files: readonly SourceFile[], find: (text: string) => number[]): string[] {
  return files.flatMap(({ path, text }) => {
    return find(text).filter((number) => !listed.has(number)).map((number) => `${path}: ${number}`);
  });
}

Deno.test("FAULTS.md lists each number once, in ascending order", () => {
  const numbers = faults.map(({ number }) => number);
  assertEquals(numbers, [...listed].sort((a, b) => a - b));
  assertEquals(numbers.length > 0, true);
});

Deno.test("FAULTS.md lists every number in the name of a test", () => {
  assertEquals(findUnlisted(tests, findTestNumbers), []);
});

Deno.test("FAULTS.md lists every number that a comment refers to", () => {
  assertEquals(findUnlisted(sources, findCommentNumbers), []);
});

Deno.test("every fault of FAULTS.md has a test, or says (later)", () => {
  assertEquals(faults.filter(({ number, isLater }) => !isLater && !tested.has(number)), []);
});

Deno.test("no fault of FAULTS.md that says (later) has a test", () => {
  assertEquals(faults.filter(({ number, isLater }) => isLater && tested.has(number)), []);
});

const NAMES: readonly [what: string, text: string, test: number[], comment: number[]][] = [
  ["a number at the head of a name", `Deno.test("[4] x", fn)`, [4], []],
  ["several numbers at the head", "Deno.test(`[4] [12] ${x}`, fn); test('[24][26] x')", [4, 12, 24, 26], []],
  ["numbers at the end of a name", `["a path [54][56]", 1]`, [54, 56], []],
  ["no other bracket", `["layers[0] is wrong", "[1]", list[2], "[]"]`, [], []],
  ["comments", "// fault 31\n/** Faults 54 and 56, see (fault 4). */", [], [31, 54, 56, 4]],
  ["no number of a string as a comment's, or the reverse", `f("fault 99"); // "[98] x"`, [], []],
];
for (const [what, text, test, comment] of NAMES) {
  Deno.test(`the search for fault numbers finds ${what}`, () => {
    assertEquals({ test: findTestNumbers(text), comment: findCommentNumbers(text) }, { test, comment });
  });
}
