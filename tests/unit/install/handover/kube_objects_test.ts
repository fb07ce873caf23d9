import {
  formatIdentity,
  identifyObject,
  isUnsafeToDelete,
  listObjects,
  mayBeSame,
  rankOf,
} from "../../../../lib/install/handover/kube_objects.ts";
import type { KubeObject } from "../../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../../lib/kubepkg/parse_kubepkg.ts";
import { assertEquals } from "../../../support/assert.ts";
import { makeKubePkg } from "../../../support/kubepkg.ts";

const object = (apiVersion: string, kind: string, name: string): KubeObject => {
  return { apiVersion, kind, metadata: { name } };
};
const identity = ([apiVersion = "", kind = "", name = "x", namespace]: readonly string[]) => {
  const metadata = { name, ...(namespace === undefined ? {} : { namespace }) };
  return identifyObject({ apiVersion, kind, metadata }, "key");
};

for (
  const [args, rank, isUnsafe] of [
    [["v1", "Namespace"], "namespace", true],
    [["example.com/v1", "Namespace"], "other", false],
    [["apiextensions.k8s.io/v1", "CustomResourceDefinition"], "definition", true],
    [["apiextensions.k8s.io/v1beta1", "CustomResourceDefinition"], "definition", true],
    [["example.com/v1", "CustomResourceDefinition"], "other", false],
    [["v1", "PersistentVolumeClaim"], "other", true],
    [["v1", "ConfigMap"], "other", false],
  ] as const
) {
  Deno.test(`rankOf() and isUnsafeToDelete() of ${args.join(" ")}`, () => {
    assertEquals([rankOf(identity(args)), isUnsafeToDelete(identity(args))], [rank, isUnsafe]);
  });
}

for (
  const [a, b, expected] of [
    [["v1", "Service", "a", "shop"], ["v1", "Service", "a", "shop"], true],
    [["v1", "Service", "a", "shop"], ["v1", "Service", "a", "bar"], false],
    [["v1", "Service", "a", "shop"], ["v1", "Service", "b", "shop"], false],
    [["v1", "Service", "a", "shop"], ["serving.knative.dev/v1", "Service", "a", "shop"], false],
    [["apps/v1beta1", "Deployment", "a", "shop"], ["apps/v1", "Deployment", "a", "shop"], true],
    [["v1", "Service", "a"], ["v1", "Service", "a", "default"], true],
    [["v1", "Service", "a", "default"], ["v1", "Service", "a"], true],
  ] as const
) {
  Deno.test(`mayBeSame() of ${a.join(" ")} and ${b.join(" ")} is ${expected}`, () => {
    assertEquals(mayBeSame(identity(a), identity(b)), expected);
  });
}

Deno.test("identifyObject() uses the key if a manifest has no name", () => {
  const manifest = { apiVersion: "v1", kind: "Node", metadata: { name: 5 } };
  assertEquals(formatIdentity(identifyObject(manifest, "key")), "Node/key");
});

Deno.test("listObjects() unpacks lists, but not an object that only looks like one", () => {
  const [a, b, c] = ["a", "b", "c"].map((name) => object("v1", "Service", name));
  const manifests = {
    z: object("example.com/v1", "WatchList", "z"),
    list: { apiVersion: "v1", kind: "List", items: [a, { apiVersion: "v1", kind: "List", items: [b] }] },
    odd: { apiVersion: "example.com/v1", kind: "PriceList", metadata: { name: "odd" }, items: [{ price: 5 }] },
    c: c!,
  };
  const base = makeKubePkg({});
  const kubepkg = parseKubePkg({ ...base, spec: { ...base.spec, manifests } });
  assertEquals(listObjects(kubepkg).map(({ identity }) => formatIdentity(identity)), [
    "Service/c",
    "Service/a",
    "Service/b",
    "PriceList/odd",
    "WatchList/z",
  ]);
});
