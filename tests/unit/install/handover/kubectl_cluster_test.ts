import { KubectlCluster } from "../../../../lib/install/handover/kubectl_cluster.ts";
import { type KubectlCall, KubectlError } from "../../../../lib/install/handover/kubectl_error.ts";
import { labelsOf } from "../../../../lib/install/handover/plan_objects.ts";
import type { PackageObject } from "../../../../lib/kubepkg/package_objects.ts";
import { identifyObject } from "../../../../lib/kubepkg/object_identity.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
import { namesIn, RecordedKubectl } from "../../../support/recorded_kubectl.ts";

const VERSIONS: Readonly<Record<string, string>> = {
  CustomResourceDefinition: "apiextensions.k8s.io/v1",
  ValidatingWebhookConfiguration: "admissionregistration.k8s.io/v1",
  Widget: "example.org/v1",
};
const NO_KIND =
  'resource mapping not found for name: "w" namespace: "shop" from "STDIN": no matches for kind "Widget" in ' +
  'version "example.org/v1"\nensure CRDs are installed first\n';

/** An object by `Kind/namespace/name`, or `Kind/name`. */
function make(label: string): PackageObject {
  const parts = label.split("/");
  const [kind = "", namespace] = parts;
  const metadata = { name: parts.at(-1)!, ...(parts.length === 3 ? { namespace } : {}) };
  const object = { apiVersion: VERSIONS[kind] ?? "v1", kind, metadata };
  return { identity: identifyObject(object), object, path: [] };
}

const makeAll = (...labels: string[]) => labels.map(make);

/** A line of `get` about an object. */
const line = (label: string, { uid = "1", owner = "<none>" } = {}) => {
  const { object, identity: { namespace } } = make(label);
  return `${object.apiVersion}   ${object.kind}  ${namespace || "<none>"}  ${uid}   ${owner}  ${
    make(label).identity.name
  }`;
};

/** A cluster with a clock that only waiting moves. */
function createCluster(answer?: RecordedKubectl["answer"], deleteTimeLimit?: number) {
  const kubectl = new RecordedKubectl();
  if (answer !== undefined) kubectl.answer = answer;
  let time = 0;
  const sleep = (ms: number) => {
    time += ms;
    return Promise.resolve();
  };
  const cluster = new KubectlCluster({ runKubectl: kubectl.run, deleteTimeLimit, sleep, now: () => time });
  return { kubectl, cluster, waited: () => time };
}

/** Answers `get` with the given objects, as long as they are in `present` and asked for. */
function getAnswer({ input = "" }: KubectlCall, present: Iterable<string>, uid = "1") {
  const names = namesIn(input);
  return {
    stdout: [...present].filter((it) => names.includes(it.split("/").at(-1)!)).map((it) => line(it, { uid })).join(
      "\n",
    ),
  };
}

for (
  const [what, labels, expected] of [
    ["nothing", [], []],
    ["objects", ["Namespace/shop", "ConfigMap/shop/a"], ["apply shop a"]],
    ["definitions, which are awaited", ["Namespace/shop", "CustomResourceDefinition/crd", "Widget/shop/w"], [
      "apply shop crd",
      "wait crd",
      "apply w",
    ]],
    ["a definition alone", ["CustomResourceDefinition/crd"], ["apply crd", "wait crd"]],
  ] as const
) {
  Deno.test(`KubectlCluster.apply() of ${what}`, async () => {
    const { cluster, kubectl } = createCluster();
    await cluster.apply("apply them", makeAll(...labels), { force: false });
    assertEquals(kubectl.take(), [...expected]);
  });
}

Deno.test("KubectlCluster.apply() takes over the fields of others only by force", async () => {
  const { cluster, kubectl } = createCluster();
  await cluster.apply("apply them", makeAll("ConfigMap/shop/a"), { force: true });
  assertEquals(kubectl.take(), ["apply --force-conflicts a"]);
});

Deno.test("KubectlCluster.apply() tries again while the API server does not serve a new kind yet", async () => {
  const objects = makeAll("CustomResourceDefinition/crd", "Widget/shop/w");
  let failures = 2;
  const { cluster, kubectl, waited } = createCluster(({ args, input = "" }) =>
    args[0] === "apply" && input.includes("Widget") && failures-- > 0 ? NO_KIND : undefined
  );
  await cluster.apply("apply them", objects, { force: false });
  assertEquals([kubectl.take().length, waited()], [5, 4000]);
  failures = Infinity;
  await assertRejects(
    () => cluster.apply("apply them", objects, { force: false }),
    KubectlError,
    "no matches for kind",
  );
  kubectl.take();
  // Without a definition in the package there is nothing to wait for.
  await assertRejects(() => cluster.apply("apply them", objects.slice(1), { force: false }), KubectlError);
  assertEquals(kubectl.take(), ["apply w"]);
});

Deno.test("KubectlCluster.delete() deletes webhooks, custom resources, the rest, definitions and Namespaces, in this order", async () => {
  const { cluster, kubectl } = createCluster();
  const objects = makeAll(
    ...["Namespace/shop", "CustomResourceDefinition/crd", "Secret/shop/s", "ConfigMap/shop/a", "Widget/shop/w"],
    "ValidatingWebhookConfiguration/hook",
  );
  assertEquals(await cluster.delete("apply them", objects), []);
  assertEquals(kubectl.take(), [
    "get shop crd s a w hook",
    ...["delete --wait=false hook", "get hook", "delete --wait=false w", "get w", "delete --wait=false a s", "get a s"],
    ...["delete --wait=false crd", "get crd", "delete --wait=false shop", "get shop"],
  ]);
});

Deno.test("[85] KubectlCluster.delete() deletes 400 objects with one process a step, and without kubectl's own wait", async () => {
  const { cluster, kubectl } = createCluster();
  await cluster.delete("apply them", makeAll(...Array.from({ length: 400 }, (_, i) => `ConfigMap/shop/c${i}`)));
  assertEquals(kubectl.calls.map(({ args }) => args[0]), ["get", "delete", "get"]);
  assert(kubectl.calls[1]!.args.includes("--wait=false"));
});

Deno.test("KubectlCluster.delete() waits until the objects are gone", async () => {
  const present = new Set(["ConfigMap/shop/a", "ConfigMap/shop/b"]);
  let polls = 0;
  const { cluster, kubectl, waited } = createCluster((call) => {
    if (call.args[0] !== "get") return undefined;
    if (polls++ === 1) present.delete("ConfigMap/shop/a");
    if (polls === 3) present.clear();
    return getAnswer(call, present);
  });
  assertEquals(await cluster.delete("apply them", makeAll(...present)), []);
  assertEquals(kubectl.take(), ["get a b", "delete --wait=false a b", "get a b", "get b"]);
  assertEquals(waited(), 2000);
});

Deno.test("KubectlCluster.delete() takes an object that a controller has made again for gone", async () => {
  let isDeleted = false;
  const { cluster, waited } = createCluster((call) => {
    if (call.args[0] === "delete") isDeleted = true;
    return call.args[0] === "get" ? getAnswer(call, ["ServiceAccount/shop/default"], isDeleted ? "2" : "1") : undefined;
  });
  assertEquals(await cluster.delete("apply them", makeAll("ServiceAccount/shop/default")), []);
  assertEquals(waited(), 0);
});

Deno.test("[78] KubectlCluster.delete() names what stays, and does not delete what that needs", async () => {
  const present = new Set(["Widget/shop/w", "ConfigMap/shop/a", "Namespace/shop"]);
  const { cluster, kubectl, waited } = createCluster(
    (call) => call.args[0] === "get" ? getAnswer(call, present) : undefined,
    10_000,
  );
  const remaining = await cluster.delete("apply them", makeAll(...present, "ConfigMap/shop/absent"));
  assertEquals(labelsOf(remaining), ["ConfigMap/shop/a", "Namespace/shop", "Widget/shop/w"]);
  assertEquals(waited(), 10_000);
  assertEquals(kubectl.take().filter((call) => call.startsWith("delete")), ["delete --wait=false w"]);
});

Deno.test("[78] KubectlCluster.delete() does not report as gone what it cannot ask for", async () => {
  const refused =
    'Error from server (Forbidden): configmaps "a" is forbidden: User "u" cannot get resource "configmaps" in ' +
    'API group ""';
  const { cluster, kubectl } = createCluster(({ args }) => args[0] === "get" ? refused : undefined);
  const error = await assertRejects(() => cluster.delete("Cannot remove", makeAll("ConfigMap/shop/a")), KubectlError);
  assertStringIncludes(error.message, "this login may not get configmaps");
  assertEquals(kubectl.take(), ["get a"]);
  // The cluster goes away in the middle.
  const gone = createCluster(({ args }) => {
    if (args[0] !== "get") return undefined;
    return gone.kubectl.calls.length === 1 ? { stdout: line("ConfigMap/shop/a") } : "connection refused";
  });
  await assertRejects(
    () => gone.cluster.delete("apply them", makeAll("ConfigMap/shop/a")),
    KubectlError,
    "does not reach",
  );
  assertEquals(gone.waited(), 300_000);
});

Deno.test("[26] KubectlCluster.delete() can be repeated when the definition of an object is already deleted", async () => {
  const { cluster, kubectl } = createCluster(({ input = "" }) =>
    input.includes("Widget") ? `Warning: deleting cluster-scoped resources\nerror: ${NO_KIND}` : undefined
  );
  assertEquals(await cluster.delete("apply them", makeAll("Widget/shop/w", "ConfigMap/shop/a")), []);
  kubectl.answer = ({ args }) => args[0] === "delete" ? `${NO_KIND}Error from server (Forbidden): no\n` : undefined;
  await assertRejects(() => cluster.delete("apply them", makeAll("Widget/shop/w")), KubectlError);
});

Deno.test("KubectlCluster.listPresent() finds objects with and without a namespace, and names with spaces", async () => {
  const stdout = [
    line("ConfigMap/shop/a"),
    line("ClusterRole/reads all"),
    // The cluster knows the kind as cluster-scoped.
    line("Widget/w"),
    "No resources found",
  ].join("\n");
  const { cluster, kubectl } = createCluster(() => ({ stdout }));
  const objects = makeAll("ConfigMap/shop/a", "ConfigMap/other/a", "ClusterRole/reads all", "Widget/shop/w");
  assertEquals(labelsOf(await cluster.listPresent(objects) ?? []), [
    "ClusterRole/reads all",
    "ConfigMap/shop/a",
    "Widget/shop/w",
  ]);
  kubectl.answer = () => "connection refused";
  assertEquals(await cluster.listPresent(objects), undefined);
  assertEquals(await cluster.listPresent([]), []);
});

Deno.test("KubectlCluster.listForeign() lists what neither the package, nor another object, nor Kubernetes brought", async () => {
  const { cluster, kubectl } = createCluster(({ args }) =>
    args[0] === "api-resources" ? { stdout: "configmaps\nevents\npods\nendpoints\nsecrets\n" } : {
      stdout: [
        line("ConfigMap/shop/own"),
        line("ConfigMap/shop/kube-root-ca.crt"),
        line("ServiceAccount/shop/default"),
        line("Pod/shop/web-1", { owner: "ReplicaSet" }),
        line("PersistentVolumeClaim/shop/userdata"),
      ].join("\n"),
    }
  );
  assertEquals(await cluster.listForeign("shop", makeAll("ConfigMap/shop/own")), ["PersistentVolumeClaim/userdata"]);
  assertEquals(kubectl.calls[1]!.args.slice(-2), ["--namespace=shop", "configmaps,pods,secrets"]);
  kubectl.answer = ({ args }) => args[0] === "get" ? "Error from server (Forbidden): no" : { stdout: "pods\n" };
  assertEquals(await cluster.listForeign("shop", []), undefined);
  kubectl.answer = () => "error: unable to retrieve the complete list of server APIs";
  assertEquals(await cluster.listForeign("shop", []), undefined);
});

Deno.test("KubectlCluster.findApplyFailures() changes nothing, and asks no cluster that does not answer", async () => {
  const { cluster, kubectl } = createCluster(({ args }) => args[0] === "apply" ? "error: a\nerror: b\n" : undefined);
  assertEquals(await cluster.findApplyFailures(makeAll("ConfigMap/shop/a"), { force: false }), [
    "error: a",
    "error: b",
  ]);
  assertEquals(kubectl.take(), ["version", "apply --dry-run=server a"]);
  kubectl.answer = () => "connection refused";
  assertEquals(await cluster.findApplyFailures(makeAll("ConfigMap/shop/a"), { force: false }), []);
  assertEquals(kubectl.take(), ["version"]);
  assertEquals(await cluster.findApplyFailures([], { force: true }), []);
});

Deno.test("KubectlCluster.isApplied() compares with the cluster, and is false if kubectl fails", async () => {
  const { cluster, kubectl } = createCluster();
  assertEquals([await cluster.isApplied([]), kubectl.take()], [true, []]);
  assertEquals([await cluster.isApplied(makeAll("ConfigMap/shop/a")), kubectl.take()], [true, ["diff a"]]);
  for (const answer of ["", null]) {
    kubectl.answer = () => answer;
    assertEquals(await cluster.isApplied(makeAll("ConfigMap/shop/a")), false);
  }
});

Deno.test("KubectlCluster.check() fails if kubectl is missing or does not reach the cluster", async () => {
  const { cluster, kubectl } = createCluster();
  await cluster.check("Cannot");
  assertEquals(kubectl.take(), ["version"]);
  kubectl.answer = () => null;
  await assertRejects(
    () => cluster.check("Cannot hand over"),
    KubectlError,
    "Cannot hand over: kubectl is not on $PATH",
  );
  kubectl.answer = () => "The connection to the server localhost:8080 was refused";
  const { message } = await assertRejects(() => cluster.check("Cannot"), KubectlError);
  assertStringIncludes(message, "Cannot: kubectl failed with status 1: it does not reach the cluster");
  assertStringIncludes(message, "\n  kubectl: The connection to the server localhost:8080 was refused");
});

Deno.test("KubectlCluster.readJson() reads an object, and nothing else", async () => {
  const { cluster, kubectl } = createCluster(() => ({ stdout: '{"kind":"Addon"}' }));
  assertEquals(await cluster.readJson(["get", "addon", "a"]), { kind: "Addon" });
  for (const answer of [{ stdout: "[]" }, { stdout: "{" }, { stdout: "" }, "not found", null]) {
    kubectl.answer = () => answer;
    assertEquals(await cluster.readJson(["get", "addon", "a"]), undefined);
  }
});

Deno.test("[95] each call of kubectl has a time limit, by what it does and to how many objects", async () => {
  const { cluster, kubectl } = createCluster(({ args }) =>
    args[0] === "api-resources" ? { stdout: "pods" } : undefined
  );
  const limits = async (objects: PackageObject[]) => {
    await cluster.apply("apply them", objects, { force: false });
    await cluster.isApplied(objects);
    await cluster.delete("apply them", objects);
    return Object.fromEntries(kubectl.calls.splice(0).map(({ args, timeLimit }) => [args[0], timeLimit]));
  };
  const one = makeAll("ConfigMap/shop/a");
  assertEquals(await limits(one), { apply: 301, diff: 61, get: 21, delete: 61 });
  assertEquals(await limits(Array.from({ length: 400 }, () => one[0]!)), {
    apply: 400,
    diff: 160,
    get: 120,
    delete: 160,
  });
  await cluster.check("Cannot");
  await cluster.listForeign("shop", []);
  await cluster.readJson(["get"]);
  await cluster.apply("apply them", makeAll("CustomResourceDefinition/crd"), { force: false });
  for (const { args, timeLimit } of kubectl.calls) {
    assert(timeLimit > 0 && timeLimit <= 301, args[0]);
    assert(args.some((arg) => /^--(?:request-)?timeout=\d+s$/.test(arg)), `${args[0]} has a request time-out`);
  }
});

Deno.test("[95] KubectlError says that kubectl did not answer", () => {
  const result = { code: 1, stdout: "", stderr: "Visit https://login.example to log in\n", timedOutAfter: 20 };
  const { message } = new KubectlError("Cannot hand over a@1", result);
  assertStringIncludes(message, "Cannot hand over a@1: kubectl did not answer in 20 s; ");
  assertStringIncludes(message, "\n  kubectl: Visit https://login.example to log in");
});

Deno.test("KubectlError limits the length of its message, and keeps both ends of a line", () => {
  const stderr = Array.from({ length: 1000 }, (_, i) => `start ${i} ${"x".repeat(10_000)} end`).join("\n");
  const { message } = new KubectlError("apply them", { code: 1, stdout: "", stderr });
  assert(message.length < 20_000);
  assertStringIncludes(message, "kubectl: start 0 xx");
  assertStringIncludes(message, "xx end\n");
});
