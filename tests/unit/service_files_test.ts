// @ts-types="../../lib/std/yaml.d.ts"
import { parseAll } from "@std/yaml";
import { DEFAULT_MEMORY_BYTES } from "../../lib/bytes/memory_budget.ts";
import { parseCommandLine } from "../../lib/cli/command_line/parse_command_line.ts";
import { COMMANDS } from "../../lib/cli/commands.ts";
import { Metrics } from "../../lib/cli/serving/metrics.ts";
import { connectionsFor, ENOUGH_FILES } from "../../lib/server/file_limit.ts";
import { assert, assertEquals } from "../support/assert.ts";

// Holds the files of scripts/service to the program and to the documents.

const read = (path: string) => Deno.readTextFile(new URL(`../../${path}`, import.meta.url));

/** The memory limit of a served crpe in MiB, as docs/kubernetes.md states it. */
const MEMORY_LIMIT = Number(/The limit is \*\*(\d+) MiB\*\*/.exec(await read("docs/kubernetes.md"))?.[1]);
/** What CI allows a crpe with large layers, in MiB. */
const MEASURED_PEAK = Number(/scripts\/memory\.ts .*--limit=(\d+)MiB/.exec(await read(".ci/run"))?.[1]);

// deno-lint-ignore no-explicit-any
type Yaml = any;
/** The user of the agent. */
const UID = 36060;
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

Deno.test("the dashboard and the alerts name only metrics that exist", async () => {
  const text = new Metrics().format();
  const alerts = parseAll(await read("scripts/service/crpe-alerts.yaml")) as Yaml[];
  const dashboard = JSON.parse(await read("scripts/service/crpe-grafana.json"));
  const expressions: string[] = [
    ...alerts[0].groups[0].rules.map(({ expr }: Yaml) => expr),
    ...dashboard.panels.flatMap(({ targets }: Yaml) => targets.map(({ expr }: Yaml) => expr)),
  ];
  assert(expressions.length > 15);
  for (const expression of expressions) {
    for (const [name] of expression.matchAll(/crpe_\w+/g)) {
      assert(text.includes(`# TYPE ${name.replace(/_bucket$/, "")} `), `${name} in ${expression}`);
    }
  }
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
  assertEquals([pod.initContainers, pod.containers.length], [undefined, 1]);
  for (const { securityContext } of pod.containers) {
    assertEquals(securityContext, {
      runAsUser: UID,
      runAsGroup: UID,
      runAsNonRoot: true,
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
  assertEquals([paths.manifests.type, paths.data.type], ["Directory", "Directory"]);
  assert(container.args.includes(`--data=${paths.data.path}`));
  assert(container.args.includes(`--manifests-dir=${paths.manifests.path}`));
  for (const probe of ["readinessProbe", "livenessProbe"]) {
    assertEquals(container[probe].httpGet, { path: "/healthz", port: "http" });
  }
});

/** The lines `KEY=VALUE` of a systemd unit; a key may have several values. */
async function readUnit(name: string): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for (const [, key = "", value = ""] of (await read(`scripts/service/${name}`)).matchAll(/^(\w+)=(.*)$/gm)) {
    found.set(key, [...found.get(key) ?? [], value]);
  }
  return found;
}

const UNITS: readonly [name: string, user: Readonly<Record<string, string[] | undefined>>][] = [
  ["crpe.service", { DynamicUser: ["yes"], User: undefined, ExecStartPre: undefined }],
  ["crpe-agent.service", {
    DynamicUser: undefined,
    User: ["crpe"],
    // The only command that runs as root (+). It is not needed where there is no k3s (-).
    ExecStartPre: ["-+/bin/chown -R crpe:crpe /var/lib/rancher/k3s/server/manifests"],
    // The agent cannot read the keys of k3s.
    TemporaryFileSystem: ["/var/lib/rancher:ro"],
    BindPaths: ["-/var/lib/rancher/k3s/server/manifests"],
    ReadWritePaths: ["-/var/lib/rancher/k3s/server/manifests"],
  }],
];
for (const [name, expected] of UNITS) {
  Deno.test(`${name} runs without root, in a data folder of its user`, async () => {
    const unit = await readUnit(name);
    for (const [key, values] of Object.entries(expected)) assertEquals(unit.get(key), values, key);
    assertEquals([unit.get("CapabilityBoundingSet"), unit.get("NoNewPrivileges")], [[""], ["yes"]]);
    assertEquals(unit.get("StateDirectory"), ["crpe"]);
    const [start = ""] = unit.get("ExecStart") ?? [];
    assert(start.startsWith("/usr/local/bin/crpe ") && start.includes("--data=/var/lib/crpe"), start);
    const folder = /--manifests-dir=(\S+)/.exec(start)?.[1];
    if (folder !== undefined) assertEquals(unit.get("ReadWritePaths"), [`-${folder}`]);
  });
}

Deno.test("the user of the agent has one number: in sysusers, in the DaemonSet, in the image, and in the documents", async () => {
  assert(
    (await read("scripts/service/crpe.sysusers.conf")).split("\n").some((line) => line.startsWith(`u crpe ${UID} `)),
  );
  for (const path of ["scripts/service/crpe-agent.yaml", "docs/kubernetes.md"]) {
    assert((await read(path)).includes(`install -d -m 0700 -o ${UID} -g ${UID} /var/lib/crpe`), path);
  }
});

Deno.test("the Containerfile makes an image without root and without a shell, with the executable where the DaemonSet starts it", async () => {
  const lines = (await read("scripts/service/Containerfile")).split("\n").filter((line) => !/^(#|$)/.test(line));
  const valueOf = (key: string) =>
    lines.filter((line) => line.startsWith(`${key} `)).map((it) => it.slice(key.length + 1));
  assertEquals([valueOf("USER"), valueOf("RUN"), valueOf("SHELL")], [[`${UID}:${UID}`], [], []]);
  assertEquals(JSON.parse(valueOf("ENTRYPOINT")[0]!), container.command);
  assertEquals(valueOf("COPY"), [
    `--chmod=0755 crpe ${container.command[0]}`,
    `--chown=${UID}:${UID} --chmod=0444 LICENSE /var/lib/crpe/LICENSE`,
  ]);
  assertEquals(JSON.parse(valueOf("CMD")[0]!), ["registry", "--data=/var/lib/crpe"]);
  const [base = ""] = valueOf("ARG");
  assert(/^BASE=\S*distroless\/cc-\S+$/.test(base), base);
  assertEquals(valueOf("FROM"), ["${BASE}"]);
  // The names of registries for the base and for the image; no other host.
  const hosts = new Set([...lines.join("\n").matchAll(/\b[\w-]+(?:\.[\w-]+)+\b(?=[/:])/g)].map(([host]) => host));
  assertEquals([...hosts], ["gcr.io"]);
});

const replicas = parseAll(await read("scripts/service/crpe-registry.yaml")) as Yaml[];
const replica = (kind: string) => replicas.find((object) => object.kind === kind);
const registryPod = replica("Deployment").spec.template.spec;
const [registry] = registryPod.containers;

Deno.test("crpe-registry.yaml selects its own pods, and lets one of them go at a time", () => {
  assertEquals(
    replicas.map(({ kind }) => kind),
    ["Namespace", "ServiceAccount", "Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"],
  );
  assert(replicas.slice(1).every(({ metadata }) => metadata.namespace === replicas[0].metadata.name));
  const { labels } = replica("Deployment").spec.template.metadata;
  for (
    const selector of [
      replica("Deployment").spec.selector.matchLabels,
      replica("Service").spec.selector,
      replica("PodDisruptionBudget").spec.selector.matchLabels,
      registryPod.topologySpreadConstraints[0].labelSelector.matchLabels,
    ]
  ) assertEquals(selector, labels);
  assertEquals(replica("PodDisruptionBudget").spec.maxUnavailable, 1);
  assert(replica("HorizontalPodAutoscaler").spec.minReplicas > 1);
  // The autoscaler alone decides about the number.
  assertEquals(replica("Deployment").spec.replicas, undefined);
  assertEquals(replica("Service").spec.ports[0].targetPort, registry.ports[0].name);
});

Deno.test("crpe-registry.yaml scales on a gauge that exists, below the connections that a process holds", () => {
  const [{ pods: { metric, target } }] = replica("HorizontalPodAutoscaler").spec.metrics;
  const gauges = new Metrics().format();
  assert(gauges.includes(`# TYPE ${metric.name} gauge`), metric.name);
  assert(Number(target.averageValue) <= connectionsFor(ENOUGH_FILES, false) / 2);
});

Deno.test("crpe-registry.yaml starts a registry with options that it has, in a container with the least rights", async () => {
  const [name, ...flags] = registry.args as string[];
  const command = await COMMANDS.find((it) => it.name === name)!.load();
  assertEquals(parseCommandLine(command, flags).arguments, []);
  assert(registry.args.some((argument: string) => argument.startsWith("--store=s3://")));
  assertEquals(registry.securityContext, container.securityContext);
  assertEquals(registry.resources.limits.memory, `${MEMORY_LIMIT}Mi`);
  assertEquals(registry.readinessProbe.httpGet, { path: "/healthz", port: "http" });
  // The registry stays while the storage is away.
  assertEquals(registry.livenessProbe.tcpSocket, { port: "http" });
  assertEquals(replicas[0].metadata.labels["pod-security.kubernetes.io/enforce"], "restricted");
  assertEquals([registryPod.automountServiceAccountToken, registryPod.volumes.map(({ name }: Yaml) => name)], [
    false,
    ["cache"],
  ]);
});
