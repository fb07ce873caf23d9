import { type KeepReason, labelsOf, planObjects } from "../../../../lib/install/handover/plan_objects.ts";
import { formatIdentity } from "../../../../lib/kubepkg/object_identity.ts";
import type { KubeObject } from "../../../../lib/kubepkg/kubepkg.ts";
import { type PackageObject, packageObjects } from "../../../../lib/kubepkg/package_objects.ts";
import { assertEquals } from "../../../support/assert.ts";
import { makeObject, makeRelease, THINGS } from "../../../support/cluster/folder_site.ts";

function objectsOf(labels: readonly (string | KubeObject)[]): PackageObject[] {
  return packageObjects(makeRelease(labels.map((it) => typeof it === "string" ? makeObject(it) : it)));
}

interface Row {
  readonly before: readonly (string | KubeObject)[];
  readonly after?: readonly (string | KubeObject)[];
  readonly others?: readonly (string | KubeObject)[];
  readonly pruneData?: boolean;
  readonly areOthersKnown?: boolean;
  readonly isOccupied?: boolean | undefined;
  readonly deleted?: readonly string[];
  readonly kept?: Readonly<Record<string, KeepReason>>;
}

const PVC = "PersistentVolumeClaim/shop/db";
const ROWS: Readonly<Record<string, Row>> = {
  "an object without data is deleted": { before: ["ConfigMap/a"], deleted: ["ConfigMap/default/a"] },
  "a PersistentVolumeClaim is kept": { before: [PVC], kept: { [PVC]: "data" } },
  "a PersistentVolume is kept": { before: ["PersistentVolume/x"], kept: { "PersistentVolume/x": "data" } },
  "a StorageClass is kept": { before: ["StorageClass/x"], kept: { "StorageClass/x": "data" } },
  "a definition is kept": { before: [THINGS], kept: { "CustomResourceDefinition/things.example.org": "data" } },
  "a Namespace is kept": { before: ["Namespace/shop"], kept: { "Namespace/shop": "data" } },
  "a kind of the same name in another group is not data": {
    before: [{ ...makeObject("Namespace/x"), apiVersion: "example.org/v1" }],
    deleted: ["Namespace/default/x"],
  },
  "data is deleted with consent": { before: [PVC], pruneData: true, deleted: [PVC] },
  "a Namespace of which nothing tells what is in it is kept in spite of the consent": {
    before: ["Namespace/shop"],
    pruneData: true,
    isOccupied: undefined,
    kept: { "Namespace/shop": "unknown" },
  },
  "a Namespace with objects of others in the cluster is kept in spite of the consent": {
    before: ["Namespace/shop", "ConfigMap/shop/a"],
    pruneData: true,
    isOccupied: true,
    deleted: ["ConfigMap/shop/a"],
    kept: { "Namespace/shop": "in use" },
  },
  "an object that another package has too is kept": {
    before: ["ConfigMap/shop/a", "ConfigMap/shop/b"],
    others: ["ConfigMap/shop/a"],
    deleted: ["ConfigMap/shop/b"],
    kept: { "ConfigMap/shop/a": "shared" },
  },
  "a shared object is kept in spite of the consent": {
    before: [PVC],
    others: [PVC],
    pruneData: true,
    kept: { [PVC]: "shared" },
  },
  "a Namespace in which another package has an object is kept in spite of the consent": {
    before: ["Namespace/shop"],
    others: ["ConfigMap/shop/a"],
    pruneData: true,
    kept: { "Namespace/shop": "in use" },
  },
  "a Namespace in which the package itself still has an object is kept in spite of the consent": {
    before: ["Namespace/shop", "ConfigMap/shop/a"],
    after: ["ConfigMap/shop/a"],
    pruneData: true,
    kept: { "Namespace/shop": "in use" },
  },
  "a definition of which another package has an object is kept in spite of the consent": {
    before: [THINGS],
    others: ["Thing/default/t"],
    pruneData: true,
    kept: { "CustomResourceDefinition/things.example.org": "in use" },
  },
  "with an unreadable record of another package nothing is deleted": {
    before: ["ConfigMap/shop/a", PVC],
    areOthersKnown: false,
    kept: { "ConfigMap/shop/a": "unknown", [PVC]: "data" },
  },
  "removal goes from the workload to what it needs": {
    before: ["ConfigMap/shop/a", "Deployment/shop/w", PVC, "Namespace/shop", THINGS],
    pruneData: true,
    deleted: [
      "Deployment/shop/w",
      PVC,
      "ConfigMap/shop/a",
      "CustomResourceDefinition/things.example.org",
      "Namespace/shop",
    ],
  },
};

for (
  const [criterion, { before, after = [], others = [], deleted = [], kept = {}, ...options }] of Object.entries(ROWS)
) {
  Deno.test(`[77] planObjects(): ${criterion}`, () => {
    const { isOccupied, pruneData = false, ...more } = options;
    const changes = planObjects({
      ...more,
      before: objectsOf(before),
      after: objectsOf(after),
      others: objectsOf(others),
      pruneData,
      ...("isOccupied" in options ? { isOccupied: () => isOccupied } : {}),
    });
    assertEquals(changes.deleted.map(({ identity }) => formatIdentity(identity)), deleted);
    const reasons = changes.kept.map(({ object, reason }) => [formatIdentity(object.identity), reason] as const);
    assertEquals(Object.fromEntries(reasons), kept);
  });
}

Deno.test("planObjects() compares objects by group, kind, namespace and name, and by content", () => {
  const before = objectsOf([
    makeObject("Service/shop/a", { spec: 1 }),
    { ...makeObject("Deployment/shop/b"), apiVersion: "apps/v1beta1" },
    makeObject("ConfigMap/shop/c", { data: { b: "1", a: "2" } }),
    makeObject("ConfigMap/shop/d", { data: { a: "1" } }),
  ]);
  const after = objectsOf([
    makeObject("Service/shop/a", { spec: 1 }),
    makeObject("Deployment/shop/b"),
    { ...makeObject("Service/shop/a"), apiVersion: "serving.knative.dev/v1" },
    makeObject("ConfigMap/shop/c", { data: { a: "2", b: "1" } }),
    makeObject("ConfigMap/shop/d", { data: { a: "2" } }),
  ]);
  const { added, changed, deleted } = planObjects({ before, after, others: [], pruneData: false });
  assertEquals([labelsOf(added), labelsOf(changed), labelsOf(deleted)], [
    ["Service/shop/a"],
    ["ConfigMap/shop/d", "Deployment/shop/b"],
    [],
  ]);
});

Deno.test("[77] planObjects() keeps a shared object as the other package has it", () => {
  const [mine, theirs] = ["1", "2"].map((value) => objectsOf([makeObject("ConfigMap/a", { data: { value } })]));
  const { kept } = planObjects({ before: mine!, after: [], others: theirs!, pruneData: false });
  assertEquals(kept, [{ object: theirs![0]!, reason: "shared" }]);
});
