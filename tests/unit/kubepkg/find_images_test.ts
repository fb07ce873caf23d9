import { addMissingImages, compareImages, formatImageMismatch } from "../../../lib/kubepkg/compare_images.ts";
import { findImages } from "../../../lib/kubepkg/find_images.ts";
import type { KubeObject } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { parseYaml } from "../../../lib/kubepkg/read_yaml.ts";
import { assertEquals } from "../../support/assert.ts";

const A = `sha256:${"a".repeat(64)}`;
const B = `sha256:${"b".repeat(64)}`;

const read = (yaml: string) =>
  parseYaml(new TextEncoder().encode(yaml), "a.yaml", { maxBytes: 100_000, maxDepth: 100 }) as KubeObject;

const POD_SPEC = {
  containers: [{ name: "a", image: "nginx" }, { name: "b", image: "quay.io/team/app:1" }],
  initContainers: [{ name: "i", image: `reg.test/init@${A}` }],
  ephemeralContainers: [{ name: "e", image: "busybox:1" }],
  volumes: [{ name: "v", image: { reference: "reg.test/data:1" } }, { name: "w", emptyDir: {} }],
};
const POD_IMAGES = [
  "docker.io/library/nginx:latest",
  "quay.io/team/app:1",
  `reg.test/init@${A}`,
  "docker.io/library/busybox:1",
  "reg.test/data:1",
];

/** The kinds that hold the fields of a Pod, and where. */
const TEMPLATES: readonly [string, string, string][] = [
  ["v1", "Pod", "spec"],
  ["apps/v1", "Deployment", "spec.template.spec"],
  ["apps/v1", "StatefulSet", "spec.template.spec"],
  ["apps/v1", "DaemonSet", "spec.template.spec"],
  ["apps/v1", "ReplicaSet", "spec.template.spec"],
  ["v1", "ReplicationController", "spec.template.spec"],
  ["batch/v1", "Job", "spec.template.spec"],
  ["batch/v1", "CronJob", "spec.jobTemplate.spec.template.spec"],
  ["v1", "PodTemplate", "template.spec"],
  ["argoproj.io/v1alpha1", "Rollout", "spec.template.spec"],
  ["serving.knative.dev/v1", "Service", "spec.template.spec"],
  ["apps.kruise.io/v1alpha1", "CloneSet", "spec.template.spec"],
  ["example.org/v1", "Unknown", "spec.a.b.c"],
];
for (const [apiVersion, kind, path] of TEMPLATES) {
  Deno.test(`[83] findImages() finds those of a ${kind}`, () => {
    const fields = path.split(".").reduceRight<object>((inner, key) => ({ [key]: inner }), POD_SPEC);
    const images = findImages({ apiVersion, kind, metadata: { name: "x" }, ...fields }).map(({ image }) => image);
    assertEquals(images, POD_IMAGES);
  });
}

const ROWS: readonly [string, string, string[]][] = [
  [
    "those of a k3s upgrade, whose tag is the version",
    `
apiVersion: upgrade.cattle.io/v1
kind: Plan
metadata: {name: p}
spec:
  version: v1.34.1+k3s1
  prepare: {image: "reg.test:5000/tools/prepare:2"}
  upgrade: {image: rancher/k3s-upgrade}
`,
    ["docker.io/rancher/k3s-upgrade:v1.34.1-k3s1", "reg.test:5000/tools/prepare:2"],
  ],
  [
    "none of a k3s upgrade whose version a channel decides",
    `
apiVersion: upgrade.cattle.io/v1
kind: Plan
metadata: {name: p}
spec: {channel: "https://update.k3s.io/v1-release/channels/stable", upgrade: {image: rancher/k3s-upgrade}}
`,
    [],
  ],
  [
    "those of objects that a ConfigMap holds, and of no template",
    `
apiVersion: v1
kind: ConfigMap
metadata: {name: local-path-config}
data:
  helperPod.yaml: |
    apiVersion: v1
    kind: Pod
    metadata: {name: helper-pod}
    spec:
      containers:
      - {name: helper-pod, image: "rancher/mirrored-library-busybox:1.36.1"}
  jobs.json: |
    {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": {"containers": [{"image": "reg.test/job:1"}]}}}}
  template.yaml: "apiVersion: v1\\nkind: Pod\\nspec: {containers: [{image: {{ .Values.image }}}]}"
  notes.txt: "kind: Pod, image: reg.test/other:1"
  values.yaml: "image: reg.test/values:1"
`,
    ["docker.io/rancher/mirrored-library-busybox:1.36.1", "reg.test/job:1"],
  ],
  [
    "those of an Argo Workflow",
    `
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: w}
spec:
  workflowSpec:
    templates:
    - {name: a, container: {image: "alpine:3"}, sidecars: [{name: s, image: "team/side:1"}], initContainers: [{image: "team/init:1"}]}
    - {name: b, script: {image: "python:3", source: "print('image: x/y:1')"}}
    - {name: c, containerSet: {containers: [{name: d, image: "team/set:1"}]}}
    - {name: d, dag: {tasks: [{name: a, template: a}]}}`,
    [
      "docker.io/library/alpine:3",
      "docker.io/team/side:1",
      "docker.io/team/init:1",
      "docker.io/library/python:3",
      "docker.io/team/set:1",
    ],
  ],
  [
    "those of Tekton",
    `
apiVersion: tekton.dev/v1
kind: Task
metadata: {name: t}
spec:
  stepTemplate: {image: "team/base:1"}
  steps: [{name: a, image: "golang:1"}, {name: b, image: $(params.image)}]
  sidecars: [{name: s, image: "team/side:1"}]`,
    [
      "docker.io/team/base:1",
      "docker.io/library/golang:1",
      "docker.io/team/side:1",
    ],
  ],
  [
    "those of KubeVirt",
    `
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: v}
spec: {template: {spec: {volumes: [{name: d, containerDisk: {image: "quay.io/containerdisks/fedora:40"}}]}}}`,
    [
      "quay.io/containerdisks/fedora:40",
    ],
  ],
  [
    "those of the Prometheus operator",
    `
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: k8s}
spec: {image: "quay.io/prometheus/prometheus:v3.0.0", thanos: {baseImage: quay.io/thanos/thanos, tag: v0.36.0}, version: 3.0.0}`,
    [
      "quay.io/prometheus/prometheus:v3.0.0",
      "quay.io/thanos/thanos:v0.36.0",
    ],
  ],
  [
    "those of an operator's arguments",
    `
apiVersion: apps/v1
kind: Deployment
metadata: {name: prometheus-operator}
spec:
  template:
    spec:
      containers:
      - name: o
        image: quay.io/prometheus-operator/prometheus-operator:v0.80.0
        args:
        - --kubelet-service=kube-system/kubelet
        - --prometheus-config-reloader=quay.io/prometheus-operator/prometheus-config-reloader:v0.80.0
        - --acme-http01-solver-image="quay.io/jetstack/cert-manager-acmesolver:v1.16.0"
        - --listen=0.0.0.0:8080
        - --url=https://example.org/a:1
        - --upstream=example.org:8080
        - --thanos-default-base-image=quay.io/thanos/thanos
        - -entrypoint-image
        - ghcr.io/tekton/entrypoint@${A}
        - --config
        - /etc/image:1`,
    [
      "quay.io/prometheus-operator/prometheus-operator:v0.80.0",
      "quay.io/prometheus-operator/prometheus-config-reloader:v0.80.0",
      "quay.io/jetstack/cert-manager-acmesolver:v1.16.0",
      `ghcr.io/tekton/entrypoint@${A}`,
    ],
  ],
  [
    "those of Longhorn's command and environment",
    `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: longhorn-manager}
spec:
  template:
    spec:
      containers:
      - name: longhorn-manager
        image: longhornio/longhorn-manager:v1.7.2
        command: [longhorn-manager, -d, daemon, --engine-image, "longhornio/longhorn-engine:v1.7.2", --service-account, longhorn-service-account]
        env:
        - {name: CSI_ATTACHER_IMAGE, value: "longhornio/csi-attacher:v4.7.0"}
        - {name: RELATED_IMAGE_PROXY, value: "quay.io/a/proxy:1"}
        - {name: STRIMZI_KAFKA_IMAGES, value: "3.7.0=quay.io/strimzi/kafka:0.44-3.7.0\\n3.8.0=quay.io/strimzi/kafka:0.44-3.8.0"}
        - {name: SIDECAR, value: "ghcr.io/a/sidecar:1"}
        - {name: DATABASE, value: "team/db:5432"}
        - {name: IMAGE_DIR, value: /var/lib/image:1}
        - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}`,
    [
      "docker.io/longhornio/longhorn-manager:v1.7.2",
      "docker.io/longhornio/longhorn-engine:v1.7.2",
      "docker.io/longhornio/csi-attacher:v4.7.0",
      "quay.io/a/proxy:1",
      "quay.io/strimzi/kafka:0.44-3.7.0",
      "quay.io/strimzi/kafka:0.44-3.8.0",
      "ghcr.io/a/sidecar:1",
    ],
  ],
  [
    "that of a Longhorn Setting",
    `
{apiVersion: longhorn.io/v1beta2, kind: Setting, metadata: {name: default-engine-image}, value: "longhornio/longhorn-engine:v1.7.2"}`,
    [
      "docker.io/longhornio/longhorn-engine:v1.7.2",
    ],
  ],
  [
    "nothing in another Longhorn Setting",
    `
{apiVersion: longhorn.io/v1beta2, kind: Setting, metadata: {name: backup-target}, value: "nfs/backup:1"}`,
    [],
  ],
  [
    "a short name in a field that holds images only",
    `
{apiVersion: postgresql.cnpg.io/v1, kind: Cluster, metadata: {name: c}, spec: {imageName: "postgres:16"}}`,
    [
      "docker.io/library/postgres:16",
    ],
  ],
  [
    "those of Strimzi by their fields",
    `
apiVersion: kafka.strimzi.io/v1beta2
kind: Kafka
metadata: {name: k}
spec: {kafka: {image: "kafka:1"}, entityOperator: {topicOperator: {image: "team/topic:1"}}}`,
    [
      "docker.io/library/kafka:1",
      "docker.io/team/topic:1",
    ],
  ],
  [
    "complete names in the image fields of unknown custom resources",
    `
apiVersion: example.org/v1
kind: Thing
metadata: {name: t}
spec: {image: "ghcr.io/a/b:1", os: {image: ubuntu-22.04}, sidecarImage: "team/side:1", other: {image: {repository: team/x, tag: 1.5}}, imagePullPolicy: Always, boot: {image: "ubuntu:22.04"}}
status: {image: "ghcr.io/a/old:1"}`,
    ["ghcr.io/a/b:1", "docker.io/team/side:1", "docker.io/team/x:1.5"],
  ],
  [
    "those of a HelmChart's values",
    `
apiVersion: helm.cattle.io/v1
kind: HelmChart
metadata: {name: h}
spec:
  chart: traefik
  jobImage: rancher/klipper-helm:v0.9
  valuesContent: |-
    image: {registry: ghcr.io, repository: traefik/traefik, tag: v3.1}
    controller:
      image: "team/controller:2"
      proxyImage: {repository: quay.io/team/proxy, tag: 1, digest: "${A}"}
      defaultImage: {repository: team/without-tag}
    images: {engine: {repository: longhornio/longhorn-engine, tag: v1}}
    database: {repository: team/notes, tag: x}
    metrics: {image: {name: exporter, tag: "1"}}
    pullPolicy: Always
  set: {sidecar.image.repository: team/sidecar, sidecar.image.tag: "3", replicas: 2}`,
    [
      "docker.io/rancher/klipper-helm:v0.9",
      "ghcr.io/traefik/traefik:v3.1",
      "docker.io/team/controller:2",
      `quay.io/team/proxy:1@${A}`,
      "docker.io/longhornio/longhorn-engine:v1",
      "docker.io/library/exporter:1",
      "docker.io/team/sidecar:3",
    ],
  ],
  [
    "nothing in values that cannot be read",
    `
{apiVersion: helm.cattle.io/v1, kind: HelmChartConfig, metadata: {name: h}, spec: {valuesContent: "a: ["}}`,
    [],
  ],
  [
    "those that a ConfigMap names as images",
    `
apiVersion: v1
kind: ConfigMap
metadata: {name: config-deployment}
data: {queue-sidecar-image: "gcr.io/knative/queue@${A}", example: "image: a/b:1", url: "example.org/a:1"}`,
    [
      `gcr.io/knative/queue@${A}`,
    ],
  ],
  [
    "nothing in a CustomResourceDefinition",
    `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: x}
spec: {versions: [{schema: {properties: {containers: {default: [{image: nginx}]}}}}]}`,
    [],
  ],
  ["nothing in a Secret", `{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {image: "a/b:1"}}`, []],
  [
    "nothing in odd values",
    `
{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [null, 5, {image: 5}, {image: "UPPER:1"}, {image: "$(IMAGE)"}], volumes: x}}`,
    [],
  ],
];
for (const [title, yaml, images] of ROWS) {
  Deno.test(`[83] findImages() finds ${title}`, () => {
    const found = new Set(findImages(read(yaml)).map(({ image }) => image));
    assertEquals([...found].sort(), [...images].sort());
  });
}

Deno.test("[83] findImages() says which field of which object uses an image", () => {
  const object = read(`
{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: shop}, spec: {template: {spec: {containers: [{image: "a:1", args: ["--x-image=b/c:1"]}]}}}}`);
  assertEquals(findImages(object).map(({ object, field, image }) => ({ object, field, image })), [
    { object: "Deployment/shop/d", field: "spec.template.spec.containers[0].image", image: "docker.io/library/a:1" },
    { object: "Deployment/shop/d", field: "spec.template.spec.containers[0].args[0]", image: "docker.io/b/c:1" },
  ]);
});

Deno.test("[51] findImages() stops in a document that is nested 5,000 deep", () => {
  let inner: unknown = { containers: [{ image: "a:1" }] };
  for (let i = 0; i < 5000; i++) inner = { a: inner };
  assertEquals(findImages({ apiVersion: "example.org/v1", kind: "X", spec: inner }), []);
});

const makePackage = (images: Record<string, string>) =>
  parseKubePkg({
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name: "web" },
    spec: { version: "1.0.0", images },
  });

const uses = (...images: string[]) =>
  findImages({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p" },
    spec: { containers: images.map((image) => ({ image })) },
  });

const COMPARED: readonly [string, Record<string, string>, string, string?][] = [
  ["a listed tag", { "nginx:1": A }, "docker.io/library/nginx:1"],
  ["latest where neither says a tag", { nginx: A }, "nginx:latest"],
  ["an unlisted tag", { "nginx:1": A }, "nginx:2", "docker.io/library/nginx:2 is not in spec.images"],
  ["a listed tag with its digest", { "nginx:1": A }, `nginx:1@${A}`],
  ["a listed tag with another digest", { "nginx:1": A }, `nginx:1@${B}`, "is in spec.images with another digest"],
  ["a listed tag whose digest is not known", { "nginx:1": "" }, `nginx:1@${B}`],
  ["a digest that is listed by a tag", { "nginx:1": A }, `nginx@${A}`],
  ["an unlisted digest", { "nginx:1": A }, `nginx@${B}`, "is not in spec.images"],
  ["a digest of another repository", { "apache:1": A }, `nginx@${A}`, "is not in spec.images"],
  ["a tag that is listed by digest alone", { [`nginx@${A}`]: "" }, "nginx:1", "is not in spec.images"],
];
for (const [title, images, image, expected] of COMPARED) {
  Deno.test(`[83] compareImages() ${expected === undefined ? "accepts" : "finds"} ${title}`, () => {
    const found = compareImages(makePackage(images), uses(image)).map(formatImageMismatch);
    assertEquals(
      found.map((it) => it.includes(expected ?? "-") ? expected : it),
      expected === undefined ? [] : [expected],
    );
  });
}

Deno.test("[83] addMissingImages() adds what objects use, pinned as they pin it", () => {
  const kubepkg = makePackage({ "nginx:1": A });
  const mismatches = compareImages(kubepkg, uses("nginx:1", "app:2", "app:2", `reg.test/x@${B}`, `nginx:1@${B}`));
  assertEquals(mismatches.map(({ problem, uses }) => ({ problem, uses: uses.length })), [
    { problem: "unlisted", uses: 2 },
    { problem: "otherDigest", uses: 1 },
    { problem: "unlisted", uses: 1 },
  ]);
  assertEquals(
    addMissingImages(kubepkg, mismatches).kubepkg.spec.images,
    {
      "nginx:1": A,
      "docker.io/library/app:2": "",
      [`docker.io/library/nginx@${B}`]: B,
      [`reg.test/x@${B}`]: B,
    } as typeof kubepkg.spec.images,
  );
});
