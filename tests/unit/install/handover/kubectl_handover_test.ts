import { KubectlError, type KubectlResult } from "../../../../lib/install/handover/kubectl_error.ts";
import { KubectlHandover } from "../../../../lib/install/handover/kubectl_handover.ts";
import type { KubeObject, KubePkg } from "../../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../../lib/kubepkg/parse_kubepkg.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
import { makeKubePkg } from "../../../support/kubepkg.ts";

const APPLY = "apply --server-side --field-manager=crpe -f -";
const DELETE = "delete --ignore-not-found --timeout=5m -f -";
const WAIT = "wait --for=condition=Established --timeout=60s -f -";

function make(objects: readonly string[], name = "line4"): KubePkg {
  const manifests: Record<string, KubeObject> = {};
  for (const [i, text] of objects.entries()) {
    const [kind = "", name = "", namespace] = text.split("/");
    const apiVersion = kind === "CustomResourceDefinition" ? "apiextensions.k8s.io/v1" : "v1";
    manifests[`${String(i).padStart(2, "0")}.${kind}`] = {
      apiVersion,
      kind,
      metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    };
  }
  const base = makeKubePkg({}, { name });
  return parseKubePkg({ ...base, spec: { ...base.spec, manifests } });
}

/** A cluster that records each call as the arguments, followed by the names of the objects. */
function createCluster(others: readonly KubePkg[] = []) {
  const calls: string[] = [];
  const failures = new Map<string, KubectlResult>();
  const handover = new KubectlHandover({
    runKubectl: (args, input = "") => {
      const names = [...input.matchAll(/^ {2}name: "?(.*?)"?$/gm)].map((match) => match[1]);
      calls.push([args.join(" "), ...names].join(" ").trim());
      return Promise.resolve(failures.get(args[0]!) ?? { code: 0, stdout: "", stderr: "" });
    },
    listPackages: () => Promise.resolve(others),
  });
  return {
    handover,
    takeCalls: () => calls.splice(0),
    fail: (command: string, stderr: string) => failures.set(command, { code: 1, stdout: "", stderr }),
  };
}

for (
  const [what, objects, expected] of [
    ["nothing", [], []],
    ["plain objects", ["Service/a", "Secret/b"], [`${APPLY} a b`]],
    ["a namespace", ["Service/a", "Namespace/ns"], [`${APPLY} ns`, `${APPLY} a`]],
    ["definitions", ["Widget/w", "CustomResourceDefinition/crd", "Namespace/ns"], [
      `${APPLY} ns crd`,
      `${WAIT} crd`,
      `${APPLY} w`,
    ]],
    ["a definition alone", ["CustomResourceDefinition/crd"], [`${APPLY} crd`, `${WAIT} crd`]],
  ] as const
) {
  Deno.test(`KubectlHandover.handOver() of ${what}`, async () => {
    const { handover, takeCalls } = createCluster();
    assertEquals((await handover.handOver(make(objects), undefined)).left, []);
    assertEquals(takeCalls(), [...expected]);
  });
}

Deno.test("KubectlHandover.handOver() deletes objects that left the package after the others are applied, but no data", async () => {
  const { handover, takeCalls } = createCluster();
  const before = make([
    "Service/a",
    "Service/b",
    "Service/moved/old",
    "Namespace/ns",
    "CustomResourceDefinition/crd",
    "PersistentVolumeClaim/data/shop",
    "Secret/c",
  ]);
  const { left } = await handover.handOver(make(["Service/a", "Service/moved/new"]), before);
  assertEquals(takeCalls(), [`${APPLY} a moved`, `${DELETE} c moved b`]);
  assertEquals(left, ["Namespace/ns", "CustomResourceDefinition/crd", "PersistentVolumeClaim/shop/data"]);
});

Deno.test("KubectlHandover.handOver() does not delete an object that it applied with an explicit or a default namespace", async () => {
  for (const [before, after] of [["Service/a/default", "Service/a"], ["Service/a", "Service/a/default"]]) {
    const { handover, takeCalls } = createCluster();
    await handover.handOver(make([after!]), make([before!]));
    assertEquals(takeCalls(), [`${APPLY} a`]);
  }
});

Deno.test("KubectlHandover.handOver() deletes nothing when kubectl refuses the new manifests", async () => {
  const { handover, takeCalls, fail } = createCluster();
  fail("apply", "error: no\n");
  await assertRejects(() => handover.handOver(make(["Service/a"]), make(["Service/b"])), KubectlError);
  assertEquals(takeCalls(), [`${APPLY} a`]);
});

Deno.test("KubectlHandover.remove() keeps the namespaces and the definitions that another package uses", async () => {
  const crd = (kind: string): KubeObject => ({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: kind.toLowerCase() },
    spec: { group: "example.com", names: { kind } },
  });
  const withKinds = (kubepkg: KubePkg, manifests: Record<string, KubeObject>): KubePkg => {
    return { ...kubepkg, spec: { ...kubepkg.spec, manifests: { ...kubepkg.spec.manifests, ...manifests } } };
  };
  const widget = { apiVersion: "example.com/v2", kind: "Widget", metadata: { name: "w", namespace: "plant" } };
  const other = withKinds(make(["Service/b/shop"], "other"), { widget });
  const { handover, takeCalls } = createCluster([other]);
  const kubepkg = make(["Namespace/shop", "Namespace/plant", "Namespace/own", "Service/a/shop"]);
  const { left } = await handover.remove(withKinds(kubepkg, { x: crd("Widget"), y: crd("Gadget") }));
  assertEquals(left, ["Namespace/shop", "Namespace/plant", "CustomResourceDefinition/widget"]);
  assertEquals(takeCalls(), [`${DELETE} a`, `${DELETE} gadget`, `${DELETE} own`]);
});

Deno.test("KubectlHandover.remove() deletes in reverse order, definitions and namespaces last, including data", async () => {
  const { handover, takeCalls } = createCluster();
  const objects = [
    "Namespace/ns",
    "CustomResourceDefinition/crd",
    "Service/a",
    "PersistentVolumeClaim/data",
    "Widget/w",
  ];
  assertEquals((await handover.remove(make(objects))).left, []);
  assertEquals(takeCalls(), [`${DELETE} w data a`, `${DELETE} crd`, `${DELETE} ns`]);
});

Deno.test("KubectlHandover keeps objects that another package also has", async () => {
  const others = [make(["Namespace/ns", "Service/b/shop"], "other"), make(["Service/a"], "line4")];
  const { handover, takeCalls } = createCluster(others);
  const { left } = await handover.remove(make(["Namespace/ns", "Service/a", "Service/b/shop"]));
  assertEquals([left, takeCalls()], [["Namespace/ns", "Service/shop/b"], [`${DELETE} a`]]);
  const upgraded = await handover.handOver(make([]), make(["Service/b/shop"]));
  assertEquals([upgraded.left, takeCalls()], [["Service/shop/b"], []]);
});

Deno.test("[26] KubectlHandover.remove() can be repeated when the definition of an object is already deleted", async () => {
  const { handover, fail } = createCluster();
  const gone = 'error: resource mapping not found for name: "w" namespace: "" from "STDIN": no matches for kind ' +
    '"Widget" in version "example.com/v1"\nensure CRDs are installed first\n';
  fail("delete", `Warning: deleting cluster-scoped resources\n${gone}`);
  await handover.remove(make(["Widget/w"]));
  fail("delete", `${gone}Error from server (Forbidden): no\n`);
  await assertRejects(() => handover.remove(make(["Widget/w"])), KubectlError, "the cluster does not allow it");
});

Deno.test("KubectlHandover.isHandedOver() compares with the cluster, and is false if kubectl fails", async () => {
  const { handover, takeCalls, fail } = createCluster();
  assertEquals([await handover.isHandedOver(make([])), takeCalls()], [true, []]);
  assertEquals(await handover.isHandedOver(make(["Service/a"])), true);
  assertEquals(takeCalls(), ["diff --server-side --field-manager=crpe --request-timeout=20s -f - a"]);
  fail("diff", "");
  assertEquals(await handover.isHandedOver(make(["Service/a"])), false);
  const options = { runKubectl: () => Promise.resolve(undefined), listPackages: () => Promise.resolve([]) };
  assertEquals(await new KubectlHandover(options).isHandedOver(make(["Service/a"])), false);
});

Deno.test("KubectlHandover.prepare() fails if kubectl is missing or does not reach the cluster", async () => {
  const options = { runKubectl: () => Promise.resolve(undefined), listPackages: () => Promise.resolve([]) };
  await assertRejects(() => new KubectlHandover(options).prepare(), KubectlError, "kubectl is not on $PATH");
  const { handover, fail, takeCalls } = createCluster();
  await handover.prepare();
  assertEquals(takeCalls(), ["version --request-timeout=20s"]);
  fail("version", "The connection to the server localhost:8080 was refused - did you specify the right host or port?");
  const { message } = await assertRejects(() => handover.prepare(), KubectlError);
  assertStringIncludes(message, "nothing was changed: kubectl failed with status 1: it does not reach the cluster");
  assertStringIncludes(message, "\n  kubectl: The connection to the server localhost:8080 was refused");
});

for (
  const [says, expected] of [
    ["Error from server (Forbidden): secrets is forbidden", "the cluster does not allow it"],
    [
      'error: Apply failed with 1 conflict: conflict with "helm": .spec.replicas',
      "other managers own some of these fields",
    ],
    ['error: no matches for kind "Widget" in version "example.com/v1"', "the cluster does not know these kinds"],
    ["open /etc/rancher/k3s/k3s.yaml: permission denied", "it cannot read its configuration"],
    ["something else", "correct the cause that it names"],
    ["\x1b[31mred\x1b[0m\x07\r\n\r\nmore", "\n  kubectl: red\n  kubectl: more"],
    ["", "correct the cause that it names"],
  ] as const
) {
  Deno.test(`KubectlError has advice for ${JSON.stringify(says.slice(0, 40))}`, () => {
    const { message } = new KubectlError("Cannot hand over a@1", { code: 1, stdout: "", stderr: says });
    assert(message.startsWith("Cannot hand over a@1: kubectl failed with status 1: "), message);
    assertStringIncludes(message, expected);
  });
}

Deno.test("KubectlError limits the length of its message", () => {
  const stderr = `${"x".repeat(10_000)}\n`.repeat(1000);
  assert(new KubectlError("Cannot", { code: 1, stdout: "", stderr }).message.length < 20_000);
});
