// @ts-types="../../lib/std/yaml.d.ts"
import { parseAll } from "@std/yaml";
import type { KubeObject } from "../../lib/kubepkg/kubepkg.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { configMap, createClusterSite } from "../support/cluster/cluster_site.ts";
import { peerTest } from "../support/peers.ts";

const NAMESPACE = "Namespace/shop";
const CRD: KubeObject = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "widgets.example.org" },
  spec: {
    group: "example.org",
    names: { kind: "Widget", plural: "widgets" },
    scope: "Namespaced",
    versions: [{ name: "v1", served: true, storage: true }],
  },
};
const WIDGET: KubeObject = { apiVersion: "example.org/v1", kind: "Widget", metadata: { name: "w" }, spec: { size: 1 } };
const CLAIM: KubeObject = {
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name: "db" },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
};
const WEBHOOK: KubeObject = {
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "ValidatingWebhookConfiguration",
  metadata: { name: "hook" },
  webhooks: [],
};
const LIST: KubeObject = { apiVersion: "v1", kind: "List", items: [configMap("l1"), configMap("l2")] };
const ALL = [WEBHOOK, WIDGET, configMap("a"), LIST, CRD, CLAIM];
const ALL_LABELS = [
  ...["ConfigMap/shop/a", "ConfigMap/shop/l1", "ConfigMap/shop/l2", "CustomResourceDefinition/widgets.example.org"],
  ...[NAMESPACE, "PersistentVolumeClaim/shop/db", "ValidatingWebhookConfiguration/hook", "Widget/shop/w"],
];

const test = (name: string, fn: () => Promise<void>) => peerTest(name, ["kubectl"], fn);

test("kubectl installs, compares, repairs, upgrades, rolls back and removes a package", async () => {
  await using site = await createClusterSite();
  await site.pack({ version: "1.0.0", objects: ALL });
  await site.pack({ version: "2.0.0", objects: [configMap("a", { a: "2" }), configMap("b"), CRD] });

  assertStringIncludes(await site.import("1.0.0"), "handed over to the cluster, by kubectl; all objects are there");
  assertEquals(site.list(), ALL_LABELS);
  assertEquals(site.api.managersOf("ConfigMap/shop/a", ".data.a"), ["crpe"]);

  site.api.requests.length = 0;
  assertStringIncludes(await site.import("1.0.0"), "nothing to do");
  assert(site.api.requests.every(({ method, path }) => method === "GET" || path.includes("dryRun=All")));

  site.api.delete("ConfigMap/shop/l2");
  assertStringIncludes(await site.import("1.0.0"), "repaired");
  assertEquals(site.list(), ALL_LABELS);

  const upgraded = await site.import("2.0.0");
  for (const removed of ["ConfigMap/shop/l1", "ConfigMap/shop/l2", "ValidatingWebhookConfiguration/hook"]) {
    assertStringIncludes(upgraded, `  - ${removed}\n`);
  }
  assertStringIncludes(upgraded, "  = PersistentVolumeClaim/shop/db is kept");
  const upgradedLabels = [
    ...["ConfigMap/shop/a", "ConfigMap/shop/b", "CustomResourceDefinition/widgets.example.org", NAMESPACE],
    "PersistentVolumeClaim/shop/db",
  ];
  assertEquals(site.list(), upgradedLabels);
  assertEquals(site.api.get("ConfigMap/shop/a")?.data, { a: "2" });

  const back = await site.run("packages", "rollback", "line4");
  assertEquals(back.code, 0, back.stderr);
  assertEquals(site.list(), ALL_LABELS);

  const removed = await site.run("packages", "remove", "line4");
  assertEquals(removed.code, 0, removed.stderr);
  assertStringIncludes(removed.stdout, "its objects are gone from the cluster");
  assertEquals(site.list(), [
    "CustomResourceDefinition/widgets.example.org",
    NAMESPACE,
    "PersistentVolumeClaim/shop/db",
  ]);
});

test("objects without a namespace go into the package's, not into that of the context", async () => {
  await using site = await createClusterSite();
  await site.pack({ version: "1.0.0", objects: [configMap("a")] });
  await site.import("1.0.0");
  assertEquals(site.list(), ["ConfigMap/shop/a", NAMESPACE]);
  // Another context does not change where they are.
  await site.folder.write("kubeconfig", site.api.kubeconfig("third"));
  assertEquals((await site.run("packages", "remove", "line4")).code, 0);
  assertEquals(site.list(), [NAMESPACE]);
});

test("[77] packages remove --prune-data deletes data, but no Namespace with an object of others", async () => {
  await using site = await createClusterSite();
  await site.pack({ version: "1.0.0", objects: ALL });
  await site.import("1.0.0");
  site.api.put({ ...configMap("foreign"), metadata: { name: "foreign", namespace: "shop" } }, "kubectl-create");
  // What each Namespace has, and what another object owns, does not count.
  site.api.put({ ...configMap("x"), metadata: { name: "kube-root-ca.crt", namespace: "shop" } }, "controller");
  const ownerReferences = [{ apiVersion: "v1", kind: "ConfigMap", name: "a", uid: "1" }];
  site.api.put({ ...configMap("x"), metadata: { name: "owned", namespace: "shop", ownerReferences } }, "controller");

  const dry = await site.run("packages", "remove", "line4", "--prune-data", "--dry-run");
  assertStringIncludes(dry.stdout, `  = ${NAMESPACE} is kept, because other objects need it\n`);
  assertEquals(site.list().includes("ConfigMap/shop/a"), true);

  const removed = await site.run("packages", "remove", "line4", "--prune-data");
  assertEquals(removed.code, 0, removed.stderr);
  assertEquals(site.list(), [
    ...["ConfigMap/shop/foreign", "ConfigMap/shop/kube-root-ca.crt", "ConfigMap/shop/owned", NAMESPACE],
  ]);

  await site.import("1.0.0");
  site.api.delete("ConfigMap/shop/foreign");
  assertEquals((await site.run("packages", "remove", "line4", "--prune-data")).code, 0);
  assertEquals(site.list(), []);
});

test("[85] fields that another program manages stop an upgrade before it begins, and can be taken over", async () => {
  await using site = await createClusterSite();
  await site.pack({ version: "1.0.0", objects: [configMap("a")] });
  await site.pack({ version: "2.0.0", objects: [configMap("a", { a: "2" }), configMap("new")] });
  await site.pack({ version: "3.0.0", objects: [configMap("a", { a: "3" }), configMap("new")] });
  await site.import("1.0.0");
  const edit = () => {
    site.api.put({ ...configMap("a", { a: "by hand" }), metadata: { name: "a", namespace: "shop" } }, "kubectl-edit");
  };
  edit();
  for (const flags of [[], ["--dry-run"]]) {
    const refused = await site.run("import", "2.0.0.tgz", "--kubectl", ...flags);
    assertEquals(refused.code, 3, refused.stderr);
    const [start, output] = flags.length === 0
      ? ["Cannot hand over line4@2.0.0, nothing was changed: ", refused.stderr]
      : ["would refuse shop/line4@2.0.0: ", refused.stdout];
    assertStringIncludes(output, `${start}other programs manage`);
    assertStringIncludes(output, "take them over with --force-conflicts");
    assertStringIncludes(output, 'conflict with "kubectl-edit" using v1: .data.a');
  }
  assertEquals(site.list(), ["ConfigMap/shop/a", NAMESPACE]);
  assertStringIncludes((await site.run("packages")).stdout, "1.0.0");

  await site.import("2.0.0", "--force-conflicts");
  assertEquals(site.api.get("ConfigMap/shop/a")?.data, { a: "2" });
  assertEquals(site.api.managersOf("ConfigMap/shop/a", ".data.a"), ["crpe"]);
  edit();
  await site.import("3.0.0", "--force");
  assertEquals(site.api.get("ConfigMap/shop/a")?.data, { a: "3" });
});

test("a cluster that does not answer stops import and remove before they begin", async () => {
  await using site = await createClusterSite();
  await site.pack({ version: "1.0.0", objects: [configMap("a")] });
  await site.setReachable(false);
  const failed = await site.run("import", "1.0.0.tgz", "--kubectl");
  assertEquals(failed.code, 1);
  assertStringIncludes(failed.stderr, "Cannot hand manifests over, nothing was changed: kubectl failed");
  assertStringIncludes(failed.stderr, "does not reach the cluster");
  assertEquals(await site.folder.listFiles("site/kubepkg"), []);
  await site.setReachable(true);
  await site.import("1.0.0");
  await site.setReachable(false);
  assertEquals((await site.run("packages", "remove", "line4")).code, 1);
  assertStringIncludes((await site.run("packages")).stdout, "line4");
  await site.setReachable(true);
  assertEquals((await site.run("packages", "remove", "line4")).code, 0);
  assertEquals(site.list(), [NAMESPACE]);
});

test("[26] objects of failed hand-overs are recorded, and deleted by a release without them", async () => {
  await using site = await createClusterSite();
  const bad = configMap("bad");
  await site.pack({ version: "1.0.0", objects: [configMap("a"), configMap("x"), bad] });
  await site.pack({ version: "1.0.1", objects: [configMap("a"), configMap("y"), bad] });
  await site.pack({ version: "1.0.2", objects: [configMap("a")] });
  site.api.fault = ({ method, path }) =>
    method === "PATCH" && path.includes("/configmaps/bad")
      ? {
        code: 403,
        reason: "Forbidden",
        message: 'configmaps "bad" is forbidden: exceeded quota: small, used: pods=1',
      }
      : undefined;
  for (const version of ["1.0.0", "1.0.1"]) {
    const { code, stderr } = await site.run("import", `${version}.tgz`, "--kubectl");
    assertEquals(code, 1);
    assertStringIncludes(stderr, `Cannot hand over line4@${version}: kubectl failed with status 1: a ResourceQuota`);
  }
  assertEquals(site.list(), ["ConfigMap/shop/a", "ConfigMap/shop/x", "ConfigMap/shop/y", NAMESPACE]);
  await site.import("1.0.2");
  assertEquals(site.list(), ["ConfigMap/shop/a", NAMESPACE]);
});

test("[78] an object that a finalizer holds is named, and the record stays until it is gone", async () => {
  await using site = await createClusterSite();
  await site.pack({ version: "1.0.0", objects: [CRD, WIDGET, configMap("a")] });
  await site.pack({ version: "2.0.0", objects: [configMap("a")] });
  await site.import("1.0.0");
  const hold = () => {
    site.api.put(
      { ...WIDGET, metadata: { name: "w", namespace: "shop", finalizers: ["example.org/stay"] } },
      "controller",
    );
  };
  hold();
  const held = await site.run("packages", "remove", "line4", "--wait=2s");
  assertEquals(held.code, 1, held.stderr);
  assertStringIncludes(held.stdout, "line4@1.0.0 is not removed yet");
  assertStringIncludes(held.stdout, "still in the cluster: Widget/shop/w");
  assertStringIncludes((await site.run("packages")).stdout, "line4");
  // What its controller needs is not deleted before it.
  assertEquals(site.list().includes("ConfigMap/shop/a"), true);
  site.api.delete("Widget/shop/w");
  const removed = await site.run("packages", "remove", "line4");
  assertEquals([removed.code, site.list()], [0, ["CustomResourceDefinition/widgets.example.org", NAMESPACE]]);
});

test("[85] 400 objects are removed with one process a step and 1,200 requests, in under 30 seconds", async () => {
  await using site = await createClusterSite();
  await site.pack({ version: "1.0.0", objects: Array.from({ length: 400 }, (_, i) => configMap(`c${i}`)) });
  await site.import("1.0.0");
  await site.takeCalls();
  site.api.requests.length = 0;
  const start = performance.now();
  const { code, stderr } = await site.run("packages", "remove", "line4");
  assertEquals(code, 0, stderr);
  assert(performance.now() - start < 30_000, "kubectl does not wait between requests");
  assertEquals(await site.takeCalls(), ["version", "get", "delete", "get"]);
  const counts = Map.groupBy(
    site.api.requests.filter(({ path }) => path.includes("/configmaps/")),
    ({ method }) => method,
  );
  assertEquals([counts.get("DELETE")?.length, counts.get("GET")?.length], [400, 800]);
  assertEquals(site.list(), [NAMESPACE]);
});

test("[26] a package is removed although the definition of its objects is gone", async () => {
  await using site = await createClusterSite();
  await site.pack({ version: "1.0.0", objects: [CRD, WIDGET, configMap("a")] });
  await site.import("1.0.0");
  site.api.delete("Widget/shop/w");
  site.api.delete("CustomResourceDefinition/widgets.example.org");
  const { code, stderr, stdout } = await site.run("packages", "remove", "line4", "--prune-data");
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "its objects are gone from the cluster");
  assertEquals(site.list(), []);
});

test("a ServiceAccount that the control plane makes again does not hold a removal", async () => {
  await using site = await createClusterSite();
  const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default" } };
  await site.pack({ version: "1.0.0", objects: [account, configMap("a")] });
  await site.import("1.0.0");
  site.api.fault = ({ method, path }) => {
    // Made again as soon as it is asked for after its deletion.
    if (
      method === "GET" && path.includes("/serviceaccounts/default") &&
      !site.list().includes("ServiceAccount/shop/default")
    ) {
      site.api.put({ ...account, metadata: { name: "default", namespace: "shop" } }, "controller");
    }
    return undefined;
  };
  const { code, stdout } = await site.run("packages", "remove", "line4", "--wait=4s");
  assertEquals(code, 0, stdout);
  assertEquals(site.list(), [NAMESPACE, "ServiceAccount/shop/default"]);
});

for (
  const [what, fault, status, expected] of [
    [
      "a field that cannot change",
      {
        code: 422,
        reason: "Invalid",
        message: 'ConfigMap "a" is invalid: data: Forbidden: field is immutable when `immutable` is set',
      },
      3,
      "nothing was changed: the cluster cannot change these fields in an existing object; delete the object by hand",
    ],
    [
      "a webhook that is not ready",
      {
        code: 500,
        reason: "InternalError",
        message: 'Internal error occurred: failed calling webhook "w.example.org": failed to call webhook: Post ' +
          '"https://w.example.svc:443/?timeout=10s": dial tcp 10.43.0.9:443: connect: connection refused',
      },
      1,
      "kubectl failed with status 1: the webhook w.example.org of the cluster does not answer; wait until its Pods",
    ],
    [
      "missing rights",
      {
        code: 403,
        reason: "Forbidden",
        message: 'configmaps "a" is forbidden: User "test" cannot patch resource "configmaps" in API group "" in the ' +
          'namespace "shop"',
      },
      1,
      "kubectl failed with status 1: this login may not patch configmaps",
    ],
    [
      "a login that has expired",
      { code: 401, reason: "Unauthorized", message: "Unauthorized" },
      1,
      "kubectl failed with status 1: the cluster does not accept this login",
    ],
    [
      "a field that the cluster does not know",
      {
        code: 400,
        reason: "BadRequest",
        message:
          'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dta"',
      },
      1,
      "kubectl failed with status 1: the cluster does not know these fields",
    ],
  ] as const
) {
  test(`[85] what the API server refuses is explained: ${what}`, async () => {
    await using site = await createClusterSite();
    await site.pack({ version: "1.0.0", objects: [configMap("a")] });
    site.api.fault = ({ method, path }) => method === "PATCH" && path.includes("/configmaps/a") ? fault : undefined;
    const { code, stderr } = await site.run("import", "1.0.0.tgz", "--kubectl");
    assertEquals(code, status, stderr);
    assertStringIncludes(stderr, expected);
  });
}

test("a kind that no definition brings is named", async () => {
  await using site = await createClusterSite();
  await site.pack({ version: "1.0.0", objects: [WIDGET] });
  const { code, stderr } = await site.run("import", "1.0.0.tgz", "--kubectl");
  assertEquals(code, 1);
  assertStringIncludes(stderr, "the cluster does not know these kinds; add their definitions to the package");
});

test("the RBAC objects that crpe ships are accepted by kubectl, and allow what crpe does", async () => {
  await using site = await createClusterSite();
  const file = new URL("../../scripts/service/crpe-kubectl-rbac.yaml", import.meta.url).pathname;
  const { code, stdout, stderr } = await site.kubectl(["apply", "--dry-run=client", "-f", file]);
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "clusterrole.rbac.authorization.k8s.io/crpe-kubectl created (dry run)");

  site.api.requests.length = 0;
  await site.pack({ version: "1.0.0", objects: ALL });
  await site.pack({ version: "2.0.0", objects: [configMap("a", { a: "2" })] });
  await site.import("1.0.0");
  await site.import("1.0.0");
  await site.import("2.0.0");
  assertEquals((await site.run("packages", "remove", "line4")).code, 0);
  const roles = parseAll(await Deno.readTextFile(file)) as { kind: string; rules?: Rule[] }[];
  const rules = roles.flatMap(({ rules = [] }) => rules);
  const needed = new Set(site.api.requests.flatMap(({ method, path }) => rightsFor(method, path)));
  // The custom resource of this test is in no group of the example.
  const missing = [...needed].filter((right) => !right.includes("/widgets ") && !isAllowed(right, rules));
  assertEquals(missing, []);
  assert(needed.has("apiextensions.k8s.io/customresourcedefinitions watch") && needed.has("/configmaps delete"));
});

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

// The rights that a request needs, as `group/resource verb`; none for discovery.
function rightsFor(method: string, path: string): string[] {
  const match = /^\/(?:api|apis\/([^/]+))\/v[^/]+\/(?:namespaces\/[^/]+\/(?=[a-z]))?([^/?]+)(\/[^?]+)?(.*)$/.exec(path);
  if (match === null) return [];
  const [, group = "", resource, name, query = ""] = match;
  const read = query.includes("watch=true") ? "watch" : name === undefined ? "list" : "get";
  const verbs = { PATCH: ["patch", "create"], DELETE: ["delete"] }[method] ?? [read];
  return verbs.map((verb) => `${group}/${resource} ${verb}`);
}

function isAllowed(right: string, rules: readonly Rule[]): boolean {
  const [, group = "", resource = "", verb = ""] = /^(.*)\/(\S+) (\S+)$/.exec(right)!;
  return rules.some(({ apiGroups, resources, verbs }) =>
    apiGroups.includes(group) && resources.includes(resource) && verbs.includes(verb)
  );
}
