import plugin, { AVOIDED_WORDS } from "../../scripts/lint.ts";
import { assert, assertEquals } from "../support/assert.ts";

/** Lints a file. @returns `RULE: MESSAGE` for each report */
function lint(fileName: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, fileName, source).map(({ id, message }) => {
    return `${id.replace(/^crpe\//, "")}: ${message}`;
  });
}

const notSnakeCase = (name: string) => [`file-name: The file name ${name} is not in snake_case`];
const empty = (name: string) => [
  `file-name: The file name ${name} says nothing: name the file after its main export`,
];
const fileNames: [fileName: string, reports: string[]][] = [
  ["lib/registry/route.ts", []],
  ["lib/oci/sha256.ts", []],
  ["lib/std/yaml.d.ts", []],
  ["tests/unit/route_test.ts", []],
  ["lib/utils/route.ts", []],
  ["lib/registry/Route.ts", notSnakeCase("Route")],
  ["lib/registry/matchRoute.ts", notSnakeCase("matchRoute")],
  ["lib/registry/match-route.ts", notSnakeCase("match-route")],
  ["lib/registry/match__route.ts", notSnakeCase("match__route")],
  ["lib/registry/route.test.ts", notSnakeCase("route.test")],
  ["lib/registry/index.ts", empty("index")],
  ["lib/registry/types.ts", empty("types")],
  ["lib/std/types.d.ts", empty("types")],
  ["tests/support/utils.ts", empty("utils")],
];
for (const [fileName, reports] of fileNames) {
  Deno.test(`lint ${reports.length === 0 ? "accepts" : "reports"} the file name ${fileName}`, () => {
    assertEquals(lint(fileName, "export {};"), reports);
  });
}

const tooMany = (count: number) => [`max-parameters: ${count} parameters: at most 3, then an options object`];
const functions: [source: string, reports: string[]][] = [
  ["function f(a, b, c) {}", []],
  ["function f(a, b, { c, d, e }) {}", []],
  ["function f(this: Window, a, b, c) {}", []],
  ["f(1, 2, 3, 4);", []],
  ["function f(a, b, c, d) {}", tooMany(4)],
  ["function f(a, b, c, d = 1) {}", tooMany(4)],
  ["function f(a, b, c, ...rest) {}", tooMany(4)],
  ["function f({ a }, [b], c, d, e) {}", tooMany(5)],
  ["async function* f(a, b, c, d) {}", tooMany(4)],
  ["const f = function (a, b, c, d) {};", tooMany(4)],
  ["const f = (a, b, c, d) => {};", tooMany(4)],
  ["class A { constructor(a, b, c, d) {} }", tooMany(4)],
  ["class A { #m(a, b, c, d) {} }", tooMany(4)],
  ["const o = { m(a, b, c, d) {} };", tooMany(4)],
];
for (const [source, reports] of functions) {
  Deno.test(`lint ${reports.length === 0 ? "accepts" : "reports"} the parameters of ${source}`, () => {
    assertEquals(lint("lib/oci/x.ts", source), reports);
  });
}

const alone = [`conditional-spread: An undefined property counts as absent: write x alone`];
const spreads: [fileName: string, source: string, reports: string[]][] = [
  ["lib/store/x.ts", "f({ a, ...(x === undefined ? {} : { x }) });", alone],
  ["lib/store/x.ts", "f({ ...x === undefined ? {} : { x }, a });", alone],
  ["lib/store/x.ts", "f({ ...a, ...(x === undefined ? {} : { x }) });", []],
  ["lib/store/x.ts", "f({ a, ...(x === undefined ? {} : { y: x }) });", []],
  ["lib/store/x.ts", "f({ a, ...(x === undefined ? {} : { x, y }) });", []],
  ["lib/store/x.ts", "f({ a, ...(isX ? { x } : {}) });", []],
  ["lib/store/x.ts", "f([a, ...(x === undefined ? [] : [x])]);", []],
  ["lib/oci/x.ts", "f({ a, ...(x === undefined ? {} : { x }) });", []],
  ["tests/unit/x.ts", "f({ a, ...(x === undefined ? {} : { x }) });", []],
];
for (const [fileName, source, reports] of spreads) {
  Deno.test(`lint ${reports.length === 0 ? "accepts" : "reports"} the spread of ${source} in ${fileName}`, () => {
    assertEquals(lint(fileName, source), reports);
  });
}

const wrong = (start: string) => [
  `error-wording: An error is made by cannot("verb object", "reason"), not of ${JSON.stringify(start)}`,
];
const ACTION = ["error-wording: An action is a verb and its object; the reason is the second argument"];
const errors: [source: string, reports: string[]][] = [
  ['new CrpeError(cannot("read x", "it is a folder"))', []],
  ["new CorruptError(cannot(`${verb} x`, reason))", []],
  ['new RegistryError("BAD_GATEWAY", cannot("use x", "it is too large"))', []],
  ['new TransportError("timeout", "no response within 5 s")', []],
  ["new CorruptError(`${what} is broken`)", []],
  ["new Error(message)", []],
  ["new Error()", []],
  ['new Deno.errors.NotFound("Not here")', []],
  ['new Response("Not found")', []],
  ["console.cannot(`Read ${path}`)", []],
  ['new Error("Failed to read x")', wrong("Failed to read x")],
  ['new CorruptError("Cannot read x: it is a folder")', wrong("Cannot read x: it is a folder")],
  ["new CorruptError(`Cannot read ${path}`)", wrong("Cannot read ")],
  ['new Error("Reading " + path + " failed")', wrong("Reading ")],
  ["new CorruptError(`Broken ${what}`)", wrong("Broken ")],
  ['new RegistryError("BAD_GATEWAY", "Too large")', wrong("Too large")],
  ['new TransportError("timeout", `No response within ${seconds} s`)', wrong("No response within ")],
  ['cannot("Cannot read x", reason)', ACTION],
  ["cannot(`read ${path}: it is a folder`)", ACTION],
];
for (const [source, reports] of errors) {
  Deno.test(`lint ${reports.length === 0 ? "accepts" : "reports"} the wording of ${source} in lib only`, () => {
    assertEquals(lint("lib/oci/x.ts", source), reports);
    assertEquals(lint("/home/me/crpe/lib/oci/x.ts", source), reports);
    assertEquals(lint("tests/unit/x_test.ts", source), []);
    assertEquals(lint("scripts/library/x.ts", source), []);
  });
}

for (const words of AVOIDED_WORDS) {
  Deno.test(`lint reports ${JSON.stringify(words)} in a comment and in the name of a test, and accepts it in another string`, () => {
    const reports = [`glossary: docs/GLOSSARY.md has a better word than "${words}"`];
    assertEquals(lint("lib/oci/x.ts", `// It is ${words} here.\n`), reports);
    assertEquals(lint("lib/oci/x.ts", `let a; /* It is ${words}. */`), reports);
    assertEquals(lint("lib/oci/x.ts", `const a = "${words}", b = \`\n// ${words}\n\`;`), []);
    assertEquals(lint("lib/oci/x.ts", `// A${words}s.\n`), []);
    assertEquals(lint("tests/unit/x_test.ts", `Deno.test("it is ${words} here", () => {});`), reports);
    assertEquals(lint("tests/unit/x_test.ts", `peerTest(\`it is ${words} \${here}\`, [], f);`), reports);
    const [first, ...rest] = words.split(" ");
    if (rest.length === 0) return;
    const [before, after] = [first, rest.join(" ")];
    for (
      const [title, comment] of [
        ["a document comment", `/**\n * It is ${before}\n * ${after} here.\n */`],
        ["line comments", `  // It is ${before}\n  // ${after} here.\n`],
        ["a block comment", `/* It is ${before}\n   ${after} here. */`],
      ] as const
    ) assertEquals(lint("lib/oci/x.ts", comment), reports, title);
  });
}

const comments: [title: string, source: string, reports: string[]][] = [
  ["capital letters", "// Nobody reads it.", ['glossary: docs/GLOSSARY.md has a better word than "Nobody"']],
  ["one report a comment", "// nobody and somebody", ['glossary: docs/GLOSSARY.md has a better word than "nobody"']],
  ["comments with a blank line between them as two", "// They go on\n\n// with it.", []],
  ["a comment behind code as a comment of its own", "let a; // They go on\nlet b; // with it.", []],
  ["names of variables", "const nobody = 1;", ['glossary: docs/GLOSSARY.md has a better word than "nobody"']],
  ["a part of a name", "const noBody = 1, nobodys = 2;", []],
  ["good words", "// The client resumes the download.", []],
];
for (const [title, source, reports] of comments) {
  Deno.test(`lint reads ${title}`, () => {
    assertEquals(lint("lib/oci/x.ts", source), reports);
  });
}

Deno.test("docs/GLOSSARY.md has every avoided word in its table of words to avoid", async () => {
  const text = await Deno.readTextFile(new URL("../../docs/GLOSSARY.md", import.meta.url));
  const [, section] = text.split("\n## Words to avoid\n");
  assert(section !== undefined);
  const rows = section.split("\n").filter((line) => line.startsWith("| ")).slice(2);
  const avoided = rows.flatMap((row) => row.split("|")[1]!.split(",").map((words) => words.trim()));
  assertEquals(AVOIDED_WORDS.filter((words) => !avoided.includes(words)), []);
});
