import { checkLists } from "../../../lib/kubepkg/check_objects.ts";
import { kubePkgFromManifests } from "../../../lib/kubepkg/kubepkg_from_manifests.ts";
import { readDocuments } from "../../../lib/kubepkg/read_kubepkg.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";

const HEADER = { name: "web", version: "1.0.0" };
const source = (what: string, text: string) => ({
  what,
  documents: readDocuments(new TextEncoder().encode(text), what),
});

const OBJECTS = `# made by hand
apiVersion: v1
kind: ConfigMap
metadata: {name: a.b, namespace: shop}
---
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a.b, namespace: shop}, data: {v: "2"}}
- {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: "system:x"}}
---
`;

Deno.test("[84] kubePkgFromManifests() gives each object a key of name, namespace and kind", () => {
  const json = '{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"}}';
  const kubepkg = kubePkgFromManifests([source("a.yaml", OBJECTS), source("b.json", json)], HEADER);
  assertEquals(Object.entries(kubepkg.spec.manifests).map(([key, { kind }]) => `${key}: ${kind}`), [
    "a.b.shop.configmap: ConfigMap",
    "a.b.shop.configmap-2: ConfigMap",
    "system:x.clusterrole: ClusterRole",
    "s.service: Service",
  ]);
  assertEquals(kubepkg.metadata, { name: "web", namespace: "default" });
  assertEquals(
    kubePkgFromManifests([source("b.json", json)], { ...HEADER, namespace: "shop" }).metadata.namespace,
    "shop",
  );
});

Deno.test("kubePkgFromManifests() keeps a List with a null item, which the check of the package finds", () => {
  const text = "{apiVersion: v1, kind: List, items: [null, {apiVersion: v1, kind: Secret, metadata: {name: s}}]}";
  const { manifests } = kubePkgFromManifests([source("a.yaml", text)], HEADER).spec;
  assertEquals(checkLists(manifests).map(({ object, field }) => [object, field]), [
    ["List (spec.manifests.list)", "items[0]"],
  ]);
});

const WRONG: readonly [string, string, object, string][] = [
  ["a document that is no object", `${OBJECTS}---\njust text\n`, {}, "a.yaml, document 3: it is no Kubernetes object"],
  ["a List of null", "{apiVersion: v1, kind: List, items: [null]}", {}, "there is no Kubernetes object"],
  ["an item of a List that is none", "{apiVersion: v1, kind: List, items: [1]}", {}, "items[0]: must be an object"],
  ["no object at all", "# nothing\n---\n", {}, "there is no Kubernetes object"],
  ["a wrong name", OBJECTS, { name: "A/b" }, "metadata.name: must be"],
  ["a wrong version", OBJECTS, { version: "1" }, "spec.version: must be"],
];
for (const [title, text, header, message] of WRONG) {
  Deno.test(`[84] kubePkgFromManifests() refuses ${title}`, () => {
    const run = () => kubePkgFromManifests([source("a.yaml", text)], { ...HEADER, ...header });
    assertStringIncludes(assertThrows(run, CorruptError).message, message);
  });
}
