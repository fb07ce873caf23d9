// @ts-types="../../lib/std/yaml.d.ts"
import { parseAll } from "@std/yaml";
import { DEFAULT_MEMORY_BYTES } from "../../lib/bytes/memory_budget.ts";
import { assert, assertEquals } from "../support/assert.ts";

// Holds the files of scripts/service to the program and to the documents.

const read = (path: string) => Deno.readTextFile(new URL(`../../${path}`, import.meta.url));

/** The memory limit of a served crpe in MiB, as docs/kubernetes.md states it. */
const MEMORY_LIMIT = Number(/The limit is \*\*(\d+) MiB\*\*/.exec(await read("docs/kubernetes.md"))?.[1]);
/** What CI allows a crpe with large layers, in MiB. */
const MEASURED_PEAK = Number(/scripts\/memory\.ts .*--limit=(\d+)MiB/.exec(await read(".ci/run"))?.[1]);

// deno-lint-ignore no-explicit-any
type Yaml = any;
const objects = parseAll(await read("scripts/service/crpe-agent.yaml")) as Yaml[];
const find = (kind: string) => objects.find((object) => object.kind === kind);
const pod = find("DaemonSet").spec.template.spec;
const [container] = pod.containers;

Deno.test("the memory limit of the DaemonSet and of the systemd units is the documented one, with room over the measured peak", async () => {
  assertEquals(container.resources.limits.memory, `${MEMORY_LIMIT}Mi`);
  for (const unit of ["crpe.service", "crpe-agent.service"]) {
    assertEquals(/^MemoryMax=(.+)$/m.exec(await read(`scripts/service/${unit}`))?.[1], `${MEMORY_LIMIT}M`, unit);
  }
  assert(MEMORY_LIMIT >= MEASURED_PEAK + 128, `${MEMORY_LIMIT} MiB for ${MEASURED_PEAK} MiB`);
});

Deno.test("[88] the memory limit is above the memory for buffers and caches, with room for the process itself", () => {
  assert(MEMORY_LIMIT * 2 ** 20 >= DEFAULT_MEMORY_BYTES + 128 * 2 ** 20);
  const given = [...container.args as string[]].filter((argument) => argument.startsWith("--max-memory"));
  assertEquals(given, []);
});

Deno.test("the DaemonSet names the PodSecurity level that its pods need", () => {
  assertEquals(objects[0].kind, "Namespace");
  assertEquals(objects[0].metadata.labels["pod-security.kubernetes.io/enforce"], "privileged");
  assert(pod.volumes.some((volume: Yaml) => volume.hostPath !== undefined));
});

const NODES: readonly [distribution: string, labels: Record<string, string>, isChosen: boolean][] = [
  ["k3s server", { "node-role.kubernetes.io/control-plane": "true" }, true],
  ["kubeadm control plane", { "node-role.kubernetes.io/control-plane": "" }, true],
  ["k3s agent", {}, false],
];
for (const [distribution, labels, isChosen] of NODES) {
  Deno.test(`the DaemonSet ${isChosen ? "has a pod" : "has no pod"} on a node of kind: ${distribution}`, () => {
    const terms = pod.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms;
    const isMatched = terms.some(({ matchExpressions }: Yaml) =>
      matchExpressions.every(({ key, operator }: Yaml) => operator === "Exists" && Object.hasOwn(labels, key))
    );
    assertEquals([isMatched, pod.nodeSelector], [isChosen, undefined]);
  });
}

const TAINTS: readonly [key: string, effect: string][] = [
  ["node-role.kubernetes.io/control-plane", "NoSchedule"],
  ["node-role.kubernetes.io/etcd", "NoExecute"],
  ["CriticalAddonsOnly", "NoExecute"],
];
for (const [key, effect] of TAINTS) {
  Deno.test(`the DaemonSet tolerates the taint ${key}:${effect}`, () => {
    assert(
      pod.tolerations.some((it: Yaml) =>
        it.key === key && it.operator === "Exists" && (it.effect ?? effect) === effect
      ),
    );
  });
}

Deno.test("the DaemonSet has the least rights: no cluster role, one namespace, no privileged container, a token for its own pod only", () => {
  assertEquals(objects.map(({ kind }) => kind), ["Namespace", "ServiceAccount", "Role", "RoleBinding", "DaemonSet"]);
  assertEquals(find("Role").rules.map(({ resources, verbs }: Yaml) => [resources, verbs]), [
    [["secrets"], ["get", "list", "create", "update", "delete"]],
    [["configmaps"], ["create", "patch"]],
  ]);
  assert(objects.slice(1).every(({ metadata }) => metadata.namespace === "crpe"));
  assertEquals([find("ServiceAccount").automountServiceAccountToken, pod.automountServiceAccountToken], [false, true]);
  for (const { securityContext } of [...pod.initContainers, ...pod.containers]) {
    assertEquals(securityContext, {
      runAsUser: 0,
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    });
  }
});

Deno.test("the DaemonSet uses the paths of the node, so that records mean the same in the pod and outside", () => {
  const paths = Object.fromEntries(pod.volumes.map(({ name, hostPath }: Yaml) => [name, hostPath]));
  for (const { name, mountPath } of container.volumeMounts) assertEquals(mountPath, paths[name].path);
  assertEquals([paths.manifests.type, paths.data.type], ["Directory", "DirectoryOrCreate"]);
  assert(container.args.includes(`--data=${paths.data.path}`));
  assert(container.args.includes(`--manifests-dir=${paths.manifests.path}`));
  assertEquals(pod.initContainers[0].command, ["chmod", "0700", paths.data.path]);
  for (const probe of ["readinessProbe", "livenessProbe"]) {
    assertEquals(container[probe].httpGet, { path: "/healthz", port: "http" });
  }
});
