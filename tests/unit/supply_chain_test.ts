import jsr from "../../deno.jsr.json" with { type: "json" };
import project from "../../deno.json" with { type: "json" };
import { type LockFile, makeSbom, type Sbom, type SbomInput } from "../../scripts/make_sbom.ts";
import { assert, assertEquals, assertThrows } from "../support/assert.ts";

// What crpe is built from: two import maps, the lock files, the actions of the workflows, and the SBOM.

const ROOT = new URL("../../", import.meta.url);
const lock = JSON.parse(await Deno.readTextFile(new URL("deno.lock", ROOT))) as Required<LockFile>;

type Imports = Readonly<Record<string, string>>;

/** Finds what differs between the two import maps, apart from the source of the standard library. */
function compareMaps(npm: Imports, source: Imports): string[] {
  const names = [...new Set([...Object.keys(npm), ...Object.keys(source)])];
  return names.flatMap((name) => {
    const [from, to] = [npm[name], source[name]];
    if (from === undefined || to === undefined) return [`${name} is missing`];
    if (!name.startsWith("@std/")) return from === to ? [] : [`${name} differs`];
    const module = name.slice("@std/".length);
    // npm has a file for each module, jsr a package with exports; the main export has no name.
    const [, file] = /^npm:deno-std@\d+\.\d+\.\d+\/(.+)\.js$/.exec(from) ?? [];
    const [, folder, entry] = /^jsr:@std\/([a-z]+)@\^?\d+\.\d+\.\d+(\/[a-z-]+)?$/.exec(to) ?? [];
    const expected = module.includes("/") ? module.replaceAll("-", "_") : `${module}/mod`;
    return file === expected && `${folder}${entry ?? ""}` === module ? [] : [`${name} is another module`];
  });
}

const MAP = { "@std/yaml": "npm:deno-std@1.4.0/yaml/mod.js", valibot: "npm:valibot@1.2.0" };
const MAPS: readonly [what: string, other: Imports, differences: string[]][] = [
  ["nothing where only the source differs", { ...MAP, "@std/yaml": "jsr:@std/yaml@^1.0.0" }, []],
  ["a missing name", { valibot: MAP.valibot }, ["@std/yaml is missing"]],
  ["an additional name", { ...MAP, "@std/yaml": "jsr:@std/yaml@1.0.0", x: "npm:x@1" }, ["x is missing"]],
  ["another module", { ...MAP, "@std/yaml": "jsr:@std/toml@^1.0.0" }, ["@std/yaml is another module"]],
  ["an export of a module", { ...MAP, "@std/yaml": "jsr:@std/yaml@^1.0.0/parse" }, ["@std/yaml is another module"]],
  ["another scope", { ...MAP, "@std/yaml": "jsr:@sdt/yaml@^1.0.0" }, ["@std/yaml is another module"]],
  ["another version of a package", { ...MAP, "@std/yaml": "jsr:@std/yaml@^1.0.0", valibot: "npm:valibot@1.2.1" }, [
    "valibot differs",
  ]],
];
for (const [what, other, differences] of MAPS) {
  Deno.test(`the comparison of import maps finds ${what}`, () => assertEquals(compareMaps(MAP, other), differences));
}

Deno.test("deno.jsr.json names the modules of deno.json, and differs in nothing but the source of @std", () => {
  assertEquals(Object.keys(jsr), ["imports"]);
  assertEquals(Object.keys(jsr.imports), Object.keys(project.imports));
  assertEquals(compareMaps(project.imports, jsr.imports), []);
});

Deno.test("every dependency of deno.json is pinned to a version, and deno.lock has its hash", () => {
  const packages = Object.values(project.imports).map((target) => {
    return /^npm:([a-z0-9-]+@\d+\.\d+\.\d+)(?:\/|$)/.exec(target)?.[1] ?? `${target} has no exact version`;
  });
  assertEquals(packages.filter((name) => !Object.hasOwn(lock.npm, name)), []);
});

Deno.test("SECURITY.md names every dependency with its version", async () => {
  const text = await Deno.readTextFile(new URL("SECURITY.md", ROOT));
  assertEquals(Object.keys(lock.npm).filter((name) => !text.includes(`npm:${name}\``)), []);
});

Deno.test("every action of the workflows is pinned to a commit, and says which release it is", async () => {
  let count = 0;
  const loose: string[] = [];
  for await (const { name } of Deno.readDir(new URL(".github/workflows/", ROOT))) {
    const text = await Deno.readTextFile(new URL(`.github/workflows/${name}`, ROOT));
    for (const [, action] of text.matchAll(/^\s*(?:- )?uses:\s*(.*)$/gm)) {
      count++;
      if (!/^[\w.-]+\/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(action!)) loose.push(`${name}: ${action}`);
    }
  }
  assert(count > 0);
  assertEquals(loose, []);
});

const INPUT: SbomInput = { project, lock, deno: "2.9.6", time: "2026-01-31T12:00:00Z" };

/** Checks the fields that CycloneDX 1.6 requires, and those whose form it defines. */
function findSbomFaults(sbom: Sbom): string[] {
  const components = [sbom.metadata.component, ...sbom.components];
  const refs = components.map((component) => component["bom-ref"]);
  const isDigest: Readonly<Record<string, RegExp>> = {
    "SHA-256": /^[0-9a-f]{64}$/,
    "SHA-384": /^[0-9a-f]{96}$/,
    "SHA-512": /^[0-9a-f]{128}$/,
  };
  const checks: readonly [what: string, isRight: boolean][] = [
    ["bomFormat", sbom.bomFormat === "CycloneDX"],
    ["specVersion", sbom.specVersion === "1.6"],
    ["version", Number.isInteger(sbom.version) && sbom.version >= 1],
    [
      "serialNumber",
      /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(sbom.serialNumber),
    ],
    ["metadata.timestamp", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(sbom.metadata.timestamp)],
    ["bom-ref is not unique", new Set(refs).size === refs.length],
    ...components.flatMap(({ type, name, version, purl, hashes = [] }): [string, boolean][] => [
      [`type of ${name}`, ["application", "library", "platform"].includes(type)],
      [`name of ${name}`, name !== ""],
      [`version of ${name}`, /^\d+\.\d+\.\d+/.test(version)],
      [`purl of ${name}`, /^pkg:(?:npm|generic|github)\/[a-z0-9%./_-]+@v?[0-9A-Za-z.+-]+$/.test(purl)],
      [`hashes of ${name}`, hashes.every(({ alg, content }) => isDigest[alg]?.test(content) === true)],
      [`hash of ${name} is missing`, type !== "library" || hashes.length > 0],
    ]),
    ["every component has its dependencies", sbom.dependencies.map(({ ref }) => ref).join() === refs.join()],
    ...sbom.dependencies.flatMap(({ ref, dependsOn }) => {
      return dependsOn.map((on): [string, boolean] => [`${ref} depends on ${on}`, refs.includes(on)]);
    }),
  ];
  return checks.filter(([, isRight]) => !isRight).map(([what]) => what);
}

Deno.test("makeSbom() describes the program, the runtime and every package of the lock file that it contains, as CycloneDX requires", () => {
  const sbom = makeSbom(INPUT);
  assertEquals(findSbomFaults(sbom), []);
  assertEquals(
    sbom.components.map(({ name, version }) => `${name}@${version}`),
    ["deno@2.9.6", ...Object.keys(lock.npm).filter((key) => !/^(axe-core|esbuild-wasm|playwright-core)@/.test(key))],
  );
  assertEquals(sbom.dependencies.find(({ ref }) => ref === "pkg:npm/js-yaml@4.1.1")?.dependsOn, [
    "pkg:npm/argparse@2.0.1",
  ]);
});

Deno.test("makeSbom() gives the same bytes for the same input, and another serial number for another", () => {
  assertEquals(JSON.stringify(makeSbom(INPUT)), JSON.stringify(makeSbom(structuredClone(INPUT))));
  assert(makeSbom(INPUT).serialNumber !== makeSbom({ ...INPUT, deno: "2.9.5" }).serialNumber);
});

Deno.test("the check of an SBOM finds what the specification refuses", () => {
  const sbom = makeSbom(INPUT);
  const [first, ...rest] = sbom.components;
  const doubled = { ...sbom, components: [first!, first!, ...rest] };
  assertEquals(findSbomFaults(doubled), ["bom-ref is not unique", "every component has its dependencies"]);
  assertEquals(findSbomFaults({ ...sbom, serialNumber: "urn:uuid:1" }), ["serialNumber"]);
  const hashed = { ...rest[0]!, hashes: [{ alg: "SHA-512", content: "00" }] };
  assertEquals(findSbomFaults({ ...sbom, components: [first!, hashed, ...rest.slice(1)] }), [
    `hashes of ${hashed.name}`,
  ]);
});

const hash = "sha512-" + btoa("x".repeat(64));
const REFUSED: readonly [what: string, lock: SbomInput["lock"], message: string][] = [
  ["modules of jsr", { version: "5", specifiers: {}, jsr: {} } as SbomInput["lock"], "sections jsr"],
  ["another version of the file", { version: "4", specifiers: {} }, "version 4"],
  [
    "a package without a hash",
    { version: "5", specifiers: {}, npm: { "a@1.0.0": { integrity: "" } } },
    "a@1.0.0 has no",
  ],
  [
    "a hash of another length",
    { version: "5", specifiers: {}, npm: { "a@1.0.0": { integrity: "sha512-AAAA" } } },
    "no valid",
  ],
  ["a dependency that is not there", {
    version: "5",
    specifiers: {},
    npm: { "@a/b@1.0.0": { integrity: hash, dependencies: ["c"] } },
  }, "no package c"],
  ["a specifier of another registry", { version: "5", specifiers: { "jsr:@a/b@1": "1.0.0" } }, "jsr:@a/b@1 is not"],
];
for (const [what, refused, message] of REFUSED) {
  Deno.test(`makeSbom() refuses a lock file with ${what}`, () => {
    assertThrows(() => makeSbom({ ...INPUT, lock: refused }), TypeError, message);
  });
}
