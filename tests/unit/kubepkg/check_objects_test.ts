import { checkObjects } from "../../../lib/kubepkg/check_objects.ts";
import { findDuplicateKeys } from "../../../lib/kubepkg/find_duplicate_keys.ts";
import { formatObjectFinding } from "../../../lib/kubepkg/object_finding.ts";
import { packageObjects } from "../../../lib/kubepkg/package_objects.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { stripLiveFields } from "../../../lib/kubepkg/strip_live_fields.ts";
import { assertEquals } from "../../support/assert.ts";

function check(...objects: object[]): string[] {
  const manifests = Object.fromEntries(objects.map((object, i) => [`m${i}`, object]));
  const kubepkg = parseKubePkg({
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name: "web" },
    spec: { version: "1.0.0", manifests },
  });
  return checkObjects(packageObjects(kubepkg)).map(formatObjectFinding);
}

const config = (data: object, metadata: object = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "a", ...metadata },
  ...data,
});
const make = (apiVersion: string, kind: string, name: unknown) => ({
  apiVersion,
  kind,
  metadata: { name },
});
const RBAC = "rbac.authorization.k8s.io/v1";

const OLD_KINDS: readonly (readonly [apiVersion: string, kind: string, since: string, advice: string])[] = [
  ["extensions/v1beta1", "Deployment", "1.16", "write apiVersion: apps/v1"],
  ["extensions/v1beta1", "Ingress", "1.22", "write apiVersion: networking.k8s.io/v1"],
  ["networking.k8s.io/v1beta1", "Ingress", "1.22", "write apiVersion: networking.k8s.io/v1"],
  ["apps/v1beta2", "StatefulSet", "1.16", "write apiVersion: apps/v1"],
  ["batch/v1beta1", "CronJob", "1.25", "write apiVersion: batch/v1"],
  ["events.k8s.io/v1beta1", "Event", "1.25", "write apiVersion: events.k8s.io/v1"],
  ["autoscaling/v2beta2", "HorizontalPodAutoscaler", "1.26", "write apiVersion: autoscaling/v2"],
  ["policy/v1beta1", "PodSecurityPolicy", "1.25", "remove it"],
  ["flowcontrol.apiserver.k8s.io/v1beta3", "FlowSchema", "1.32", "write apiVersion: flowcontrol.apiserver.k8s.io/v1"],
  ["storage.k8s.io/v1beta1", "CSIStorageCapacity", "1.27", "write apiVersion: storage.k8s.io/v1"],
  ["certificates.k8s.io/v1beta1", "CertificateSigningRequest", "1.22", "write apiVersion: certificates.k8s.io/v1"],
  ["rbac.authorization.k8s.io/v1beta1", "Role", "1.22", "write apiVersion: rbac.authorization.k8s.io/v1"],
];
const ROWS: readonly [string, object[], string[]][] = [
  ["nothing in a good object", [config({ data: { "a.txt": "1", b_c: "" } }, { labels: { a: "1" } })], []],
  ["generateName", [config({}, { name: undefined, generateName: "a-" })], [
    "ConfigMap (spec.manifests.m0): metadata.generateName is used instead of a name",
  ]],
  ["a missing name", [config({}, { name: null })], ["ConfigMap (spec.manifests.m0): metadata.name is missing"]],
  ["a name that is a number", [config({}, { name: 5 })], ["metadata.name is not text"]],
  ["an upper-case name", [config({}, { name: "Web" })], ["ConfigMap/default/Web: metadata.name must be lower-case"]],
  ["a Service with a dot", [make("v1", "Service", "a.b")], ["Service/default/a.b: metadata.name must be at most 63"]],
  ["a namespace with a dot", [config({}, { namespace: "a.b" })], ["metadata.namespace must be at most 63"]],
  ["a kind of another group", [make("v1", "Deployment", "d"), make("apps/v1", "Service", "s")], [
    "kind is Service, which apps/v1 does not have: no cluster takes the object; write apiVersion: v1, kind: Service",
    "kind is Deployment, which v1 does not have: no cluster takes the object; write apiVersion: apps/v1, kind: Deployment",
  ]],
  ["a kind in other letters", [make("v1", "configmap", "c")], ["write apiVersion: v1, kind: ConfigMap"]],
  ...OLD_KINDS.map(([apiVersion, kind, since, instead]): [string, object[], string[]] => [
    `${kind} of ${apiVersion}`,
    [make(apiVersion, kind, "a")],
    [`apiVersion is ${apiVersion}, which has no ${kind} since Kubernetes ${since}: such a cluster refuses it; ${instead}`],
  ]),
  ["no version of the API that is still served for other kinds", [
    make("storage.k8s.io/v1beta1", "VolumeAttributesClass", "v"),
    make("networking.k8s.io/v1beta1", "IPAddress", "i"),
    make("admissionregistration.k8s.io/v1beta1", "ValidatingAdmissionPolicy", "v"),
    make("example.org/v1beta1", "Deployment", "d"),
  ], []],
  ["no kind that is not known, or of another project", [
    make("v1", "Binding", "b"),
    make("apps/v1", "FutureSet", "f"),
    make("serving.knative.dev/v1", "Service", "s"),
    make("events.k8s.io/v1", "Event", "e"),
  ], []],
  ["a namespace that is a number", [config({}, { namespace: 5 })], ["metadata.namespace is not text"]],
  ["a namespace that nothing makes, once", [config({}, { namespace: "shop" }), make("v1", "Secret", "s"), {
    ...make("v1", "Secret", "t"),
    metadata: { name: "t", namespace: "shop" },
  }], ["Secret/shop/t: metadata.namespace is shop, a namespace that the package does not bring"]],
  ["no namespace that the package or every cluster has", [
    make("v1", "Namespace", "shop"),
    config({}, { namespace: "shop" }),
    config({}, { namespace: "kube-system" }),
  ], []],
  [
    "an image that is no name",
    [{
      ...make("batch/v1", "CronJob", "c"),
      spec: {
        jobTemplate: {
          spec: {
            template: {
              spec: {
                containers: ["app:${VERSION}", " nginx", "reg.test/Team/App:1", "nginx", "", " ", 5].map((image) => {
                  return { name: "c", image };
                }),
                initContainers: [{ name: "i", image: "reg.test:5000/a/b:1@sha256:" + "a".repeat(64) }],
              },
            },
          },
        },
      },
    }],
    [
      'containers[0].image is "app:${VERSION}", which is no image name',
      'containers[1].image is " nginx", which is no image name',
      'containers[2].image is "reg.test/Team/App:1", which is no image name',
      "containers[4].image is empty: a cluster that does not have the object yet refuses it",
      "containers[6].image is the number 5",
    ],
  ],
  ...["Pod", "PodTemplate"].map((kind): [string, object[], string[]] => [`a ${kind} whose containers have no image`, [{
    ...make("v1", kind, "p"),
    [kind === "Pod" ? "spec" : "template"]: {
      containers: [{ name: "a", image: null }, { name: "b" }, { name: "c", image: "nginx" }],
      initContainers: [{ name: "d", image: "" }],
      ephemeralContainers: [null],
    },
  }], [
    "containers[0].image is empty: a cluster that does not have the object yet refuses it",
    "containers[1].image is missing: a cluster that does not have the object yet refuses it",
    "initContainers[0].image is empty: a cluster that does not have the object yet refuses it",
  ]]),
  [
    "[83] a key in data and in binaryData",
    [config({ data: { a: "x", b: "y" }, binaryData: { a: "eA==", c: "eA==" } })],
    [
      "binaryData.a is a key of data too: no cluster takes the object; remove one of them",
    ],
  ],
  ["[83] an apiVersion of three words", [{ ...make("apps/v1/x", "Deployment", "d") }], [
    "apiVersion is apps/v1/x, which is not GROUP/VERSION: no cluster takes the object; write such as apps/v1",
  ]],
  ["no image of a custom resource", [{
    ...make("example.org/v1", "Thing", "a"),
    spec: { containers: [{ image: "app:${VERSION}" }] },
  }], []],
  ["a long CronJob", [make("batch/v1", "CronJob", "a".repeat(53))], ["metadata.name must have at most 52"]],
  ["no RBAC name with colons", [make(RBAC, "ClusterRole", "system:controller:X")], []],
  ["an RBAC name with a slash", [make(RBAC, "Role", "a/b")], ['must not contain "/"']],
  ["no APIService with dots", [make("apiregistration.k8s.io/v1", "APIService", "v1.metrics.k8s.io")], []],
  ["a numeric label", [config({}, { labels: { v: 1 } })], ["metadata.labels.v is the number 1"]],
  ["a label that is none", [config({}, { labels: { a: "x y", b: "", c: "a".repeat(64), d: "v1.0_a" } })], [
    "ConfigMap/default/a: metadata.labels.a is no label",
    "ConfigMap/default/a: metadata.labels.c is no label",
  ]],
  ["no annotation with spaces", [config({}, { annotations: { a: "x y" } })], []],
  ["large annotations", [config({}, { annotations: { a: "x".repeat(262_144) } })], ["annotations has 262145 bytes"]],
  ["no 1 MB of base64", [config({ binaryData: { a: "AAAA".repeat(333_333) } })], []],
  ["a boolean annotation", [config({}, { annotations: { "a/b": true } })], ['annotations["a/b"] is the boolean true']],
  [
    "numbers in a Pod template",
    [{
      ...make("apps/v1", "Deployment", "d"),
      spec: {
        selector: { matchLabels: { v: 1 } },
        template: {
          metadata: { labels: { v: 2 } },
          spec: {
            nodeSelector: { ssd: true },
            containers: [{ name: "c", image: "a", env: [{ name: "A", value: 3 }] }],
          },
        },
      },
    }],
    [
      "spec.selector.matchLabels.v is the number 1",
      "spec.template.metadata.labels.v is the number 2",
      "spec.template.spec.nodeSelector.ssd is the boolean true",
      "spec.template.spec.containers[0].env[0].value is the number 3",
    ],
  ],
  ["a numeric selector of a Service", [{ ...make("v1", "Service", "s"), spec: { selector: { v: 1 } } }], [
    "spec.selector.v is the number 1",
  ]],
  ["nothing in the schema of a definition", [
    {
      ...make("apiextensions.k8s.io/v1", "CustomResourceDefinition", "a.b"),
      spec: { versions: [{ schema: { properties: { metadata: { labels: { default: 1 } } } } }] },
    },
  ], []],
  ["nothing in a custom resource's own fields", [
    { ...make("example.org/v1", "Thing", "a"), spec: { metadata: { labels: { a: 1 } }, matchLabels: { b: 2 } } },
  ], []],
  ["numeric data", [config({ data: { port: 80, b: { c: "d" } } })], [
    "data.port is the number 80",
    "data.b is not text",
  ]],
  ["a key of data with a slash", [config({ data: { "a/b": "" } })], ['data["a/b"] is not a valid key']],
  ["Secret data that is not base64", [{ ...make("v1", "Secret", "s"), data: { a: "YQ==", b: "abc", c: "YQ\n==" } }], [
    "Secret/default/s: data.b is not base64",
  ]],
  ["a numeric stringData", [{ ...make("v1", "Secret", "s"), stringData: { pin: 1234 } }], [
    "stringData.pin is the number",
  ]],
  ["over 1 MiB of data", [config({ data: { a: "x".repeat(1_100_000) } })], [
    "ConfigMap/default/a: data holds 1100001 bytes, a ConfigMap may hold 1048576",
  ]],
  [
    "nothing in a Secret of 1,000,000 bytes",
    [{ ...make("v1", "Secret", "s"), data: { a: "A".repeat(1_333_332) } }],
    [],
  ],
  ["nothing in a ConfigMap of 600,000 lines", [config({ data: { a: "\n".repeat(600_000) } })], []],
  ["a Secret of over 1 MiB", [{ ...make("v1", "Secret", "s"), data: { a: "A".repeat(1_400_000) } }], [
    "data holds 1050001",
  ]],
  ["an object of over 1 MiB", [{ ...make("example.org/v1", "Thing", "a"), spec: { a: "é".repeat(600_000) } }], [
    "Thing/default/a: has 1200108 bytes",
  ]],
  ["one object twice, by key and namespace", [config({ data: { a: "1" } }), config({}, { namespace: "default" })], [
    "ConfigMap/default/a: is in the package twice: spec.manifests.m0 and spec.manifests.m1",
  ]],
  ["one object twice with the same content", [config({}), config({})], [
    "is in the package twice with the same content",
  ]],
  ["one object twice, in a List and by another version", [
    make("apps/v1", "Deployment", "d"),
    { apiVersion: "v1", kind: "List", items: [make("apps/v1beta1", "Deployment", "d")] },
  ], [
    "apiVersion is apps/v1beta1, which has no Deployment since Kubernetes 1.16",
    "twice: spec.manifests.m0 and spec.manifests.m1.items[0]",
  ]],
  ["[84] half of a surrogate pair", [config({ data: { a: "cut \ud83d" } })], [
    "data.a has half of a surrogate pair",
  ]],
  ["[84] half of a surrogate pair in a key", [{ ...make("example.org/v1", "T", "a"), spec: { "\ude00": 1 } }], [
    'spec["\\ude00"] the key has half of a surrogate pair',
  ]],
  ["[84] characters that go-yaml refuses", [
    config({ data: { a: "\u007f", b: "\ufffe", c: "\u0085", d: "\u0007\u{1f600}\ufeff" } }),
  ], [
    "data.a has the control character U+007F",
    "data.b has the control character U+FFFE",
    "data.c has the control character U+0085",
  ]],
];
for (const [title, objects, expected] of ROWS) {
  Deno.test(`[83] checkObjects() finds ${title}`, () => {
    const found = check(...objects);
    assertEquals(found.map((it, i) => it.includes(expected[i] ?? "-") ? expected[i] : it), expected);
  });
}

const LIVE = {
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: {
    name: "a",
    resourceVersion: "4711",
    uid: "3f0c",
    creationTimestamp: "2024-01-01T00:00:00Z",
    generation: 2,
    managedFields: [{ manager: "kubectl" }],
    ownerReferences: [{ uid: "1" }],
    annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}", keep: "it" },
  },
  status: { phase: "Active" },
};

Deno.test("[83] stripLiveFields() removes what a cluster adds, and names it", () => {
  assertEquals(stripLiveFields(LIVE), {
    object: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", annotations: { keep: "it" } } },
    stripped: [
      "status",
      "metadata.creationTimestamp",
      "metadata.generation",
      "metadata.managedFields",
      "metadata.ownerReferences",
      "metadata.resourceVersion",
      "metadata.uid",
      'metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]',
    ],
  });
});

Deno.test("[83] stripLiveFields() removes what k3s and the token controller of another cluster added", () => {
  const metadata = {
    name: "a",
    uid: "1",
    labels: { "objectset.rio.cattle.io/hash": "x", app: "a" },
    annotations: {
      "objectset.rio.cattle.io/applied": "H4s",
      "objectset.rio.cattle.io/owner-name": "web",
      "kubernetes.io/service-account.name": "a",
      "kubernetes.io/service-account.uid": "2",
    },
  };
  const { object, stripped } = stripLiveFields({ apiVersion: "v1", kind: "Secret", metadata });
  const kept = { name: "a", labels: { app: "a" }, annotations: { "kubernetes.io/service-account.name": "a" } };
  assertEquals(object, { apiVersion: "v1", kind: "Secret", metadata: kept });
  assertEquals(stripped, [
    'metadata.annotations["kubernetes.io/service-account.uid"]',
    "metadata.uid",
    'metadata.annotations["objectset.rio.cattle.io/applied"]',
    'metadata.annotations["objectset.rio.cattle.io/owner-name"]',
    'metadata.labels["objectset.rio.cattle.io/hash"]',
  ]);
});

const EXPORTED: readonly [string, string, object, object, string[]][] = [
  ["v1", "Service", { clusterIP: "10.43.0.7", clusterIPs: ["10.43.0.7"], type: "ClusterIP" }, { type: "ClusterIP" }, [
    "spec.clusterIP",
    "spec.clusterIPs",
  ]],
  ["v1", "Service", { clusterIP: "None" }, { clusterIP: "None" }, []],
  ["v1", "Pod", { nodeName: "n", containers: [] }, { containers: [] }, ["spec.nodeName"]],
  ["v1", "PersistentVolumeClaim", { volumeName: "pvc-1" }, {}, ["spec.volumeName"]],
  ["v1", "PersistentVolume", { claimRef: { name: "a", uid: "1" } }, { claimRef: { name: "a" } }, ["spec.claimRef.uid"]],
  ["batch/v1", "Job", { selector: { matchLabels: {} }, template: {} }, { template: {} }, ["spec.selector"]],
  ["batch/v1", "Job", { selector: {}, manualSelector: true }, { selector: {}, manualSelector: true }, []],
];
for (const [apiVersion, kind, spec, expected, fields] of EXPORTED) {
  Deno.test(`[83] stripLiveFields() removes ${fields.join(", ") || "nothing"} of the spec of an exported ${kind}`, () => {
    const object = { apiVersion, kind, metadata: { name: "a" }, spec };
    assertEquals(stripLiveFields({ ...object, metadata: { name: "a", uid: "1" } }), {
      object: { ...object, spec: expected },
      stripped: [...fields, "metadata.uid"],
    });
    assertEquals(stripLiveFields(object), { object, stripped: [] });
  });
}

Deno.test("[83] stripLiveFields() removes empty fields, as generators write them, without naming them", () => {
  const object = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "a", creationTimestamp: null },
    status: {},
  };
  assertEquals(stripLiveFields(object), {
    object: { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "a" } },
    stripped: [],
  });
});

Deno.test("[83] stripLiveFields() keeps the status of a custom resource that was not exported", () => {
  const object = { apiVersion: "example.org/v1", kind: "Thing", metadata: { name: "a" }, status: { level: 1 } };
  assertEquals(stripLiveFields(object), { object, stripped: [] });
  assertEquals(stripLiveFields({ ...object, metadata: { uid: "1" } }).stripped, ["status", "metadata.uid"]);
});
const DUPLICATES: readonly [string, string[]][] = [
  ['{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}', []],
  ['{"a":1,"a":2}', ["a"]],
  ['{"spec":{"manifests":{"x.y":{"k":1},"x.y":{}}}}', ['spec.manifests["x.y"]']],
  ['{"a":[1,{"b" : "x" ,"b":1}]}', ["a[1].b"]],
  ['{"\\u0061":1,"a":2}', ["a"]],
  ['{"a":"a","b":"a\\"","b":"\\\\"}', ["b"]],
  ['{"a":"b","c":"b","a":["a","a"],"a":{}}', ["a"]],
  ['["a","a"]', []],
  ['{"a":{"b":1,"c":2},"b":3,"c":4}', []],
];
for (const [text, expected] of DUPLICATES) {
  Deno.test(`[83] findDuplicateKeys() finds ${expected.join(", ") || "nothing"} in ${text}`, () => {
    assertEquals(findDuplicateKeys(text), expected);
  });
}
