import type { KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import { formatIdentity } from "../../../lib/kubepkg/object_identity.ts";
import { packageObjects } from "../../../lib/kubepkg/package_objects.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { assertEquals } from "../../support/assert.ts";

const make = (
  kind: string,
  name: string,
  { namespace, apiVersion = "v1" }: { namespace?: string; apiVersion?: string } = {},
) => ({
  apiVersion,
  kind,
  metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
});

function makePackage(namespace: string | undefined, manifests: Record<string, unknown>): KubePkg {
  return parseKubePkg({
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name: "web", ...(namespace === undefined ? {} : { namespace }) },
    spec: { version: "1.0.0", manifests },
  });
}

const names = (kubepkg: KubePkg) =>
  packageObjects(kubepkg).map(({ identity, isAdded }) => `${formatIdentity(identity)}${isAdded ? " added" : ""}`);

const definition = {
  ...make("CustomResourceDefinition", "wides.example.org", { apiVersion: "apiextensions.k8s.io/v1" }),
  spec: { group: "example.org", names: { kind: "Wide" }, scope: "Cluster" },
};

const ROWS: readonly [string, string | undefined, Record<string, unknown>, string[]][] = [
  ["fills in the namespace of the package and adds the Namespace", "shop", { a: make("ConfigMap", "a") }, [
    "Namespace/shop added",
    "ConfigMap/shop/a",
  ]],
  ["adds no Namespace that the package brings, in a List too", "shop", {
    a: make("ConfigMap", "a"),
    l: { apiVersion: "v1", kind: "List", items: [make("Namespace", "shop")] },
  }, ["Namespace/shop", "ConfigMap/shop/a"]],
  ["adds no Namespace that no object uses", "shop", {
    a: make("ConfigMap", "a", { namespace: "other" }),
    r: make("ClusterRole", "r", { apiVersion: "rbac.authorization.k8s.io/v1" }),
  }, ["ConfigMap/other/a", "ClusterRole/r"]],
  ["fills in default, and does not add it", undefined, { a: make("ConfigMap", "a") }, ["ConfigMap/default/a"]],
  ["adds none of the cluster's own Namespaces", "kube-system", { a: make("ConfigMap", "a") }, [
    "ConfigMap/kube-system/a",
  ]],
  ["takes an empty namespace for none", "shop", { a: make("ConfigMap", "a", { namespace: "" }) }, [
    "Namespace/shop added",
    "ConfigMap/shop/a",
  ]],
  ["leaves cluster-scoped custom resources alone", "shop", {
    c: definition,
    w: make("Wide", "w", { apiVersion: "example.org/v1" }),
    i: make("ClusterIssuer", "i", { apiVersion: "cert-manager.io/v1" }),
  }, ["CustomResourceDefinition/wides.example.org", "ClusterIssuer/i", "Wide/w"]],
  ["sorts by rank, then by key", "default", {
    z: make("ConfigMap", "1"),
    hook: make("ValidatingWebhookConfiguration", "h", { apiVersion: "admissionregistration.k8s.io/v1" }),
    d: make("Deployment", "d", { apiVersion: "apps/v1" }),
    b: make("ConfigMap", "2"),
    n: make("Namespace", "n"),
  }, [
    "Namespace/n",
    "ConfigMap/default/2",
    "ConfigMap/default/1",
    "Deployment/default/d",
    "ValidatingWebhookConfiguration/h",
  ]],
];
for (const [title, namespace, manifests, expected] of ROWS) {
  Deno.test(`[81] [82] packageObjects() ${title}`, () =>
    assertEquals(names(makePackage(namespace, manifests)), expected));
}

Deno.test("[81] packageObjects() writes the namespace into the object, and does not change the package", () => {
  const kubepkg = makePackage("shop", { a: { apiVersion: "v1", kind: "ConfigMap", data: { a: "1" } } });
  const before = structuredClone(kubepkg);
  assertEquals(packageObjects(kubepkg)[1]?.object, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { namespace: "shop" },
    data: { a: "1" },
  });
  assertEquals(kubepkg, before);
});
