import { unlessCorrupt } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";

/** A software bill of materials, as far as it is understood. */
export interface Sbom {
  readonly format: "SPDX" | "CycloneDX";
  /** The version of the format, if the document states one: `2.3`. */
  readonly version?: string;
  /** What it lists, in its order; absent for a document that is neither JSON nor SPDX tag-value. */
  readonly components?: readonly SbomComponent[];
  /** The document: a JSON value, or a text. */
  readonly document: unknown;
}

/** A package or file that an SBOM lists. */
interface SbomComponent {
  readonly name: string;
  readonly version?: string;
}

/** Largest SBOM that is parsed, in bytes. */
export const MAX_SBOM_BYTES = 16 * 1024 * 1024;

const LIMITS = { maxBytes: MAX_SBOM_BYTES, maxDepth: 128, maxValues: 2_000_000 };

/** Parses an SBOM: SPDX 2 as JSON or tag-value, SPDX 3 as JSON-LD, CycloneDX as JSON or XML. */
export function parseSbom(bytes: Uint8Array): Sbom | undefined {
  const text = new TextDecoder().decode(bytes);
  if (!/^\s*\{/.test(text)) return parseText(text);
  return unlessCorrupt(() => parseDocument(parseJson(bytes, "the SBOM", LIMITS)));
}

/** Reads a JSON value as an SBOM; `undefined` when it is none. */
export function parseDocument(document: unknown): Sbom | undefined {
  if (!isJsonObject(document)) return undefined;
  if (typeof document.spdxVersion === "string") {
    const components = listOf(document.packages).map((it) => componentOf(it.name, it.versionInfo));
    return { format: "SPDX", ...versionIn(document.spdxVersion), components: components.flat(), document };
  }
  if (document.bomFormat === "CycloneDX") {
    const components = flattenComponents(document.components);
    return { format: "CycloneDX", ...versionIn(document.specVersion), components, document };
  }
  const isSpdx3 = [document["@context"]].flat().some((it) => typeof it === "string" && it.includes("spdx.org/rdf/3"));
  if (!isSpdx3) return undefined;
  const elements = listOf(document["@graph"]);
  const info = elements.find(({ type }) => type === "CreationInfo");
  const packages = elements.filter(({ type }) => type === "software_Package");
  const components = packages.flatMap((it) => componentOf(it.name, it.software_packageVersion));
  return { format: "SPDX", ...versionIn(info?.specVersion), components, document };
}

function parseText(text: string): Sbom | undefined {
  const spdx = /^SPDXVersion:[ \t]*(\S+)/m.exec(text)?.[1];
  if (spdx !== undefined) {
    const components: { name: string; version?: string }[] = [];
    for (const [, field, value] of text.matchAll(/^Package(Name|Version):[ \t]*(.+)$/gm)) {
      if (field === "Name") components.push({ name: value!.trim() });
      else if (components.length > 0) components.at(-1)!.version ??= value!.trim();
    }
    return { format: "SPDX", ...versionIn(spdx), components, document: text };
  }
  const cyclone = /<bom\b[^>]*\bxmlns="http:\/\/cyclonedx\.org\/schema\/bom\/([0-9.]+)"/.exec(text)?.[1];
  return cyclone === undefined ? undefined : { format: "CycloneDX", ...versionIn(cyclone), document: text };
}

// Components may have components. The depth is bounded by that of the document.
function flattenComponents(value: unknown): SbomComponent[] {
  return listOf(value).flatMap((it) => {
    const name = typeof it.group === "string" && it.group !== "" ? `${it.group}/${it.name}` : it.name;
    return [...componentOf(name, it.version), ...flattenComponents(it.components)];
  });
}

function componentOf(name: unknown, version: unknown): SbomComponent[] {
  if (typeof name !== "string") return [];
  return [typeof version === "string" && version !== "" ? { name, version } : { name }];
}

function versionIn(value: unknown): Pick<Sbom, "version"> {
  const version = typeof value === "string" ? /[0-9]+(?:\.[0-9]+)*/.exec(value)?.[0] : undefined;
  return version === undefined ? {} : { version };
}

function listOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}
