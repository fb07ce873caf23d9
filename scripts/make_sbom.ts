/**
 * Describes what an executable consists of, as a CycloneDX 1.6 document: crpe, the runtime, and every package of
 * deno.lock, but those of tests and of the build, with the integrity hash that is pinned there. The same input gives the
 * same bytes.
 *
 *   deno run -A scripts/make_sbom.ts --deno=2.9.6 --time=2026-01-31T12:00:00Z > crpe.cdx.json
 *
 * --deno is the version of the runtime in the executable; --time is the time of the commit.
 */
import { createHash } from "node:crypto";
import { parseArgs } from "@std/cli/parse-args";

/** What the document is made from. */
export interface SbomInput {
  readonly project: { readonly version: string; readonly license: string };
  /** deno.lock, version 5. */
  readonly lock: LockFile;
  /** The version of the runtime. */
  readonly deno: string;
  /** The time of the commit, in ISO 8601. */
  readonly time: string;
}

/** The parts of a lock file that are read. */
export interface LockFile {
  readonly version: string;
  /** `npm:valibot@1.2.0` → the version that it resolves to. */
  readonly specifiers: Readonly<Record<string, string>>;
  /** `valibot@1.2.0` → its hash, and the packages that it depends on by name, or by name and version. */
  readonly npm?: Readonly<Record<string, { readonly integrity: string; readonly dependencies?: readonly string[] }>>;
}

interface Component {
  readonly type: "application" | "library" | "platform";
  readonly "bom-ref": string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses?: readonly { readonly license: { readonly id: string } }[];
}

/** A CycloneDX document, as far as this script writes it (https://cyclonedx.org/docs/1.6/json/). */
export interface Sbom {
  readonly $schema: string;
  readonly bomFormat: "CycloneDX";
  readonly specVersion: "1.6";
  readonly serialNumber: string;
  readonly version: 1;
  readonly metadata: { readonly timestamp: string; readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/** Packages that are in no executable: two drive and examine the page in tests, one joins the sources. */
const NOT_IN_EXECUTABLE: readonly string[] = ["axe-core", "esbuild-wasm", "playwright-core"];

// Other sections of a lock file name other code, such as modules of jsr or of a URL.
const KNOWN_SECTIONS = ["version", "specifiers", "npm", "workspace"];

/** Reports whether an executable contains a package of deno.lock: `valibot@1.2.0`. */
export function isInExecutable(key: string): boolean {
  return !NOT_IN_EXECUTABLE.includes(key.replace(/(?<=.)@.*$/, ""));
}

/**
 * Makes the document.
 *
 * @throws {TypeError} when the lock file names something that this function does not describe
 */
export function makeSbom({ project, lock, deno, time }: SbomInput): Sbom {
  const unknown = Object.keys(lock).filter((section) => !KNOWN_SECTIONS.includes(section));
  if (lock.version !== "5" || unknown.length > 0) {
    throw new TypeError(
      `Cannot describe the lock file: version ${lock.version}, sections ${unknown.join(", ") || "known"}`,
    );
  }
  const runtime = describe({
    type: "platform",
    name: "deno",
    version: deno,
    purl: `pkg:github/denoland/deno@v${deno}`,
  });
  const program: Component = {
    ...describe({
      ...{ type: "application", name: "crpe", version: project.version },
      purl: `pkg:generic/crpe@${project.version}`,
    }),
    licenses: [{ license: { id: project.license } }],
  };
  const packages = Object.entries(lock.npm ?? {}).filter(([key]) => isInExecutable(key)).map(([key, locked]) => {
    const { integrity, dependencies = [] } = locked;
    const [, name = "", version = ""] = /^(@?[^@]+)@([^_]+)/.exec(key) ?? [];
    const described = describe({ type: "library", name, version, purl: purlOf(name, version) });
    return { dependencies, component: { ...described, hashes: [parseIntegrity(integrity, key)] } };
  });
  const refOf = (dependency: string) => {
    const found = packages.find(({ component: { name, version } }) => {
      return dependency === name || dependency === `${name}@${version}`;
    });
    if (found === undefined) throw new TypeError(`Cannot describe the lock file: it has no package ${dependency}`);
    return found.component["bom-ref"];
  };
  const direct = Object.entries(lock.specifiers).flatMap(([specifier, version]) => {
    const [, name] = /^npm:(@?[^@]+)@/.exec(specifier) ?? [];
    if (name === undefined) throw new TypeError(`Cannot describe the lock file: ${specifier} is not of npm`);
    return isInExecutable(name) ? [refOf(`${name}@${version}`)] : [];
  });
  const document = {
    metadata: { timestamp: time, component: program },
    components: [runtime, ...packages.map(({ component }) => component)],
    dependencies: [
      { ref: program["bom-ref"], dependsOn: [runtime["bom-ref"], ...new Set(direct)] },
      { ref: runtime["bom-ref"], dependsOn: [] },
      ...packages.map(({ component, dependencies }) => {
        return { ref: component["bom-ref"], dependsOn: dependencies.map(refOf) };
      }),
    ],
  };
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify(document))}`,
    version: 1,
    ...document,
  };
}

function describe(parts: Pick<Component, "type" | "name" | "version" | "purl">): Component {
  return { "bom-ref": parts.purl, ...parts };
}

// The @ of a scope is encoded (package-url specification, type npm).
function purlOf(name: string, version: string): string {
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

// `sha512-<Base64>` (Subresource Integrity) → algorithm and hex.
function parseIntegrity(integrity: string, key: string): { alg: string; content: string } {
  const [, bits, base64] = /^sha(256|384|512)-([A-Za-z0-9+/]+=*)$/.exec(integrity) ?? [];
  const content = base64 === undefined ? "" : Uint8Array.fromBase64(base64).toHex();
  if (content.length * 4 !== Number(bits)) {
    throw new TypeError(`Cannot describe the lock file: ${key} has no valid hash`);
  }
  return { alg: `SHA-${bits}`, content };
}

// A UUID of the content (RFC 9562 section 5.8), so that the document is the same each time.
function uuidOf(text: string): string {
  const bytes = createHash("sha256").update(text).digest().subarray(0, 16);
  bytes[6] = bytes[6]! & 0x0f | 0x80;
  bytes[8] = bytes[8]! & 0x3f | 0x80;
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

if (import.meta.main) {
  const { deno, time } = parseArgs(Deno.args, { string: ["deno", "time"] });
  if (!deno || !time || Number.isNaN(Date.parse(time))) {
    throw new Error("Cannot run: --deno=VERSION and --time=ISO-8601 are needed");
  }
  const read = async (name: string) => JSON.parse(await Deno.readTextFile(new URL(`../${name}`, import.meta.url)));
  const sbom = makeSbom({ project: await read("deno.json"), lock: await read("deno.lock"), deno, time });
  console.log(JSON.stringify(sbom, null, 2));
}
