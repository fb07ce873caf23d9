import { KubectlCluster } from "../../../../lib/install/handover/kubectl_cluster.ts";
import { type KubectlCall, KubectlError } from "../../../../lib/install/handover/kubectl_error.ts";
import { KubectlHandover } from "../../../../lib/install/handover/kubectl_handover.ts";
import type { HandoverRequest } from "../../../../lib/install/handover/handover.ts";
import { describeChanges } from "../../../../lib/install/handover/manifest_file.ts";
import type { KubePkg } from "../../../../lib/kubepkg/kubepkg.ts";
import { packageObjects } from "../../../../lib/kubepkg/package_objects.ts";
import { parseKubePkg } from "../../../../lib/kubepkg/parse_kubepkg.ts";
import { RefusedError } from "../../../../lib/oci/error.ts";
import { assertEquals, assertGreater, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
import { makeKubePkg } from "../../../support/kubepkg.ts";
import { RecordedKubectl } from "../../../support/recorded_kubectl.ts";
import { makeRequest } from "./make_request.ts";

const CONFLICT = 'error: Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .data.a';
const IMMUTABLE = 'The Deployment "web" is invalid: spec.selector: Invalid value: {}: field is immutable';

/** A package in the namespace `shop`, with objects by `Kind/name`. */
function make(objects: readonly string[], name = "line4"): KubePkg {
  const manifests = Object.fromEntries(objects.map((text, i) => {
    const [kind = "", name = ""] = text.split("/");
    const apiVersion = kind === "CustomResourceDefinition" ? "apiextensions.k8s.io/v1" : "v1";
    return [`${i}.x`, { apiVersion, kind, metadata: { name } }];
  }));
  const base = makeKubePkg({}, { name });
  return parseKubePkg({
    ...base,
    metadata: { ...base.metadata, namespace: "shop" },
    spec: { ...base.spec, manifests },
  });
}

function createSite({ forceConflicts = false } = {}) {
  const kubectl = new RecordedKubectl();
  const cluster = new KubectlCluster({ runKubectl: kubectl.run, sleep: () => Promise.resolve() });
  const handover = new KubectlHandover(cluster, { forceConflicts });
  return { kubectl, handover };
}

const before = (kubepkg: KubePkg) => ({ before: { place: { kubectl: true }, kubepkg, files: [] } as const });

Deno.test("KubectlHandover.plan() decides by the record, and only tries the release out", async () => {
  const { kubectl, handover } = createSite();
  const { changes, refusal } = await handover.plan(
    makeRequest(make(["ConfigMap/a"]), before(make(["ConfigMap/b", "PersistentVolumeClaim/db"]))),
  );
  assertEquals(describeChanges(changes), {
    added: ["ConfigMap/shop/a"],
    changed: [],
    removed: ["ConfigMap/shop/b"],
    kept: [{ object: "PersistentVolumeClaim/shop/db", reason: "data" }],
  });
  assertEquals([kubectl.take(), refusal], [["version", "apply --dry-run=server shop a"], undefined]);
});

Deno.test("KubectlHandover.apply() applies, then deletes what left the package, then asks what is there", async () => {
  const { kubectl, handover } = createSite();
  const plan = await handover.plan(makeRequest(make(["ConfigMap/a"]), before(make(["ConfigMap/b"]))));
  kubectl.take();
  const result = await handover.apply(plan);
  assertEquals(kubectl.take(), ["apply shop a", "get b", "delete --wait=false b", "get b", "get shop a"]);
  // This kubectl says nothing, so that nothing is seen.
  assertEquals(result, { where: "the cluster, by kubectl", isConfirmed: false, remaining: undefined });
  kubectl.answer = ({ args: [command], input = "" }) =>
    command === "get" && input.includes("name: a")
      ? { stdout: "v1 Namespace <none> 1 <none> shop\nv1 ConfigMap shop 2 <none> a\n" }
      : undefined;
  assertEquals(await handover.apply(plan), {
    where: "the cluster, by kubectl",
    isConfirmed: true,
    remaining: undefined,
  });
});

Deno.test("KubectlHandover.apply() deletes nothing when kubectl refuses the new manifests", async () => {
  const { kubectl, handover } = createSite();
  const plan = await handover.plan(makeRequest(make(["ConfigMap/a"]), before(make(["ConfigMap/b"]))));
  kubectl.answer = ({ args }) => args[0] === "apply" ? "error: no\n" : undefined;
  kubectl.take();
  await assertRejects(() => handover.apply(plan), KubectlError, "Cannot hand over line4@1.0.0: kubectl failed");
  assertEquals(kubectl.take(), ["apply shop a"]);
});

for (
  const [what, says, expected] of [
    ["fields that others manage", CONFLICT, "take them over with --force-conflicts (kubectl: error: Apply failed"],
    ["fields that cannot change", IMMUTABLE, "delete the object by hand"],
  ] as const
) {
  Deno.test(`[85] KubectlHandover.plan() refuses a release for ${what}, before anything is applied`, async () => {
    const { kubectl, handover } = createSite();
    kubectl.answer = ({ args }) =>
      args.includes("--dry-run=server") ? `namespaces "shop" not found\n${says}` : undefined;
    const { refusal } = await handover.plan(makeRequest(make(["ConfigMap/a"])));
    assertEquals(refusal instanceof RefusedError, true);
    assertStringIncludes(refusal!.message, "Cannot hand over line4@1.0.0, nothing was changed: ");
    assertStringIncludes(refusal!.message, expected);
    assertEquals(kubectl.take(), ["version", "apply --dry-run=server shop a"]);
  });
}

Deno.test("[85] KubectlHandover.plan() leaves failures that the hand-over itself may heal to the hand-over", async () => {
  const { kubectl, handover } = createSite();
  kubectl.answer = ({ args }) => args.includes("--dry-run=server") ? 'namespaces "shop" not found' : undefined;
  assertEquals((await handover.plan(makeRequest(make(["ConfigMap/a"])))).refusal, undefined);
});

Deno.test("[85] --force and --force-conflicts take over the fields of others", async () => {
  for (const [options, force] of [[{ forceConflicts: true }, false], [{}, true]] as const) {
    const { kubectl, handover } = createSite(options);
    kubectl.answer = ({ args }) => args[0] === "apply" && !args.includes("--force-conflicts") ? CONFLICT : undefined;
    const plan = await handover.plan(makeRequest(make(["ConfigMap/a"]), { force }));
    assertEquals(plan.refusal, undefined);
    kubectl.take();
    await handover.apply(plan);
    assertEquals(kubectl.take(), ["apply --force-conflicts shop a", "get shop a"]);
  }
});

Deno.test("KubectlHandover.plan() tries a release once for each hand-over", async () => {
  const { kubectl, handover } = createSite();
  const plans = ["a", "a", "b"].map((name) => makeRequest(make([`ConfigMap/${name}`])));
  for (const plan of plans) await handover.plan(plan);
  assertEquals(kubectl.take().filter((call) => call !== "version"), [
    "apply --dry-run=server shop a",
    "apply --dry-run=server shop b",
  ]);
  await handover.apply(await handover.plan(plans[2]!));
  kubectl.take();
  await handover.plan(plans[2]!);
  assertEquals(kubectl.take(), ["version", "apply --dry-run=server shop b"]);
});

Deno.test("KubectlHandover removes data only with pruneData, and no Namespace with objects of others", async () => {
  const { kubectl, handover } = createSite();
  const kubepkg = make(["ConfigMap/a", "PersistentVolumeClaim/db"]);
  const removal = (given: Partial<HandoverRequest>) =>
    handover.plan(makeRequest(kubepkg, { isRemoval: true, ...before(kubepkg), ...given }));
  const { changes } = await removal({});
  assertEquals(describeChanges(changes).removed, ["ConfigMap/shop/a"]);
  assertEquals(kubectl.take(), []);

  kubectl.answer = ({ args: [command] }) =>
    command === "api-resources"
      ? { stdout: "configmaps" }
      : { stdout: "v1 ConfigMap shop 1 <none> a\nv1 ConfigMap shop 2 <none> userdata\n" };
  const occupied = describeChanges((await removal({ pruneData: true })).changes);
  assertEquals(occupied.removed, ["ConfigMap/shop/a", "PersistentVolumeClaim/shop/db"]);
  assertEquals(occupied.kept, [{ object: "Namespace/shop", reason: "in use" }]);

  // Whether there are others cannot be known.
  kubectl.answer = () => "connection refused";
  assertEquals(describeChanges((await removal({ pruneData: true })).changes).kept, occupied.kept);

  kubectl.answer = () => undefined;
  assertEquals(describeChanges((await removal({ pruneData: true })).changes).kept, []);
});

Deno.test("KubectlHandover keeps objects that another package also has", async () => {
  const { handover } = createSite();
  const others = packageObjects(make(["Service/b"], "other"));
  const { changes } = await handover.plan(
    makeRequest(make([]), { ...before(make(["Service/a", "Service/b"])), others, pruneData: true }),
  );
  assertEquals(describeChanges(changes).removed, ["Service/shop/a"]);
  assertEquals(describeChanges(changes).kept.map(({ object }) => object).sort(), ["Namespace/shop", "Service/shop/b"]);
});

Deno.test("[78] KubectlHandover.apply() names the objects that stay", async () => {
  const kubectl = new RecordedKubectl();
  kubectl.answer = ({ args: [command] }) =>
    command === "get" ? { stdout: "v1 ConfigMap shop 1 <none> a\n" } : undefined;
  let time = 0;
  const cluster = new KubectlCluster({
    runKubectl: kubectl.run,
    sleep: (ms) => Promise.resolve(void (time += ms)),
    now: () => time,
  });
  const handover = new KubectlHandover(cluster);
  const kubepkg = make(["ConfigMap/a"]);
  const plan = await handover.plan(makeRequest(kubepkg, { isRemoval: true, ...before(kubepkg) }));
  assertEquals(await handover.apply(plan), {
    where: "the cluster, by kubectl",
    isConfirmed: false,
    remaining: ["ConfigMap/shop/a"],
  });
});

Deno.test("KubectlHandover.prepare() fails if kubectl is missing or does not reach the cluster", async () => {
  const { kubectl, handover } = createSite();
  await handover.prepare();
  kubectl.answer = () => null;
  await assertRejects(() => handover.prepare(), KubectlError, "nothing was changed: kubectl is not on $PATH");
});

Deno.test("[95] the calls of one hand-over end together, although each takes its whole time limit", async () => {
  let [now, longest] = [0, 0];
  const before = make(["ConfigMap/a", "Secret/b", "Service/c", "CustomResourceDefinition/d"]);
  // An API server that is slow, knows the new kinds late, and never deletes anything.
  const runKubectl = ({ args, timeLimit }: KubectlCall) => {
    longest = Math.max(longest, timeLimit);
    now += timeLimit * 1000;
    const stdout = args[0] === "get"
      ? packageObjects(before).map(({ identity: { kind, name } }, i) => `v1 ${kind} shop ${i} <none> ${name}\n`).join(
        "",
      )
      : "";
    const isApply = args[0] === "apply" && !args.includes("--dry-run=server");
    const stderr = isApply ? 'error: resource mapping not found: no matches for kind "X" in version "x.io/v1"' : "";
    return Promise.resolve({ code: isApply && now > 1_000_000 ? 1 : 0, stdout, stderr });
  };
  const sleep = (milliseconds: number) => Promise.resolve(void (now += milliseconds));
  const handover = new KubectlHandover(new KubectlCluster({ runKubectl, sleep, now: () => now }));
  const plan = await handover.plan(
    makeRequest(make(["CustomResourceDefinition/x", "ConfigMap/new"]), {
      before: { place: { kubectl: true }, kubepkg: before, files: [] },
    }),
  );
  const began = now;
  await handover.apply(plan).catch((error) => assertStringIncludes(error.message, "kubectl"));
  assertEquals(now - began <= (600 + 300 + 60) * 1000, true, `${(now - began) / 1000} s`);
  assertGreater(now - began, longest * 1000);
});
