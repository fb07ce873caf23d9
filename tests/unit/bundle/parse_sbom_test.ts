import { parseSbom, type Sbom } from "../../../lib/bundle/parse_sbom.ts";
import { assertEquals } from "../../support/assert.ts";

const encode = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

const DOCUMENTS: readonly [what: string, document: unknown, expected: Omit<Sbom, "document"> | undefined][] = [
  [
    "SPDX 2 as JSON",
    {
      spdxVersion: "SPDX-2.3",
      packages: [{ name: "zlib", versionInfo: "1.3" }, { name: "app" }, { versionInfo: "1" }],
    },
    { format: "SPDX", version: "2.3", components: [{ name: "zlib", version: "1.3" }, { name: "app" }] },
  ],
  [
    "SPDX 2 as tag-value",
    "SPDXVersion: SPDX-2.2\nPackageName: zlib\nPackageVersion: 1.3\nPackageName: app\n",
    { format: "SPDX", version: "2.2", components: [{ name: "zlib", version: "1.3" }, { name: "app" }] },
  ],
  [
    "SPDX 3",
    {
      "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
      "@graph": [
        { type: "CreationInfo", specVersion: "3.0.1" },
        { type: "software_Package", name: "zlib", software_packageVersion: "1.3" },
      ],
    },
    { format: "SPDX", version: "3.0.1", components: [{ name: "zlib", version: "1.3" }] },
  ],
  [
    "CycloneDX as JSON, with nested components and a group",
    {
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      components: [{ group: "@deno", name: "std", version: "1.0", components: [{ name: "inner" }] }],
    },
    { format: "CycloneDX", version: "1.6", components: [{ name: "@deno/std", version: "1.0" }, { name: "inner" }] },
  ],
  [
    "CycloneDX as XML",
    `<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.5" version="1"/>`,
    { format: "CycloneDX", version: "1.5" },
  ],
  ["another JSON document", { name: "zlib" }, undefined],
  ["JSON that is cut off", `{"spdxVersion": "SPDX-2.3", "packages": [`, undefined],
  ["JSON that is nested too deeply", `{"bomFormat":"CycloneDX","components":${"[".repeat(500)}`, undefined],
  ["text", "hello", undefined],
  ["nothing", "", undefined],
  ["a list instead of objects", { spdxVersion: "SPDX-2.3", packages: "zlib" }, {
    format: "SPDX",
    version: "2.3",
    components: [],
  }],
];
for (const [what, document, expected] of DOCUMENTS) {
  Deno.test(`parseSbom() of ${what}`, () => {
    const found = parseSbom(encode(document));
    assertEquals(found, expected === undefined ? undefined : { ...expected, document: found?.document });
    if (expected !== undefined) assertEquals(found?.document, document);
  });
}
