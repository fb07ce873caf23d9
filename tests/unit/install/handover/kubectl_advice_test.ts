import { adviseOn, failureLinesOf, selectLasting } from "../../../../lib/install/handover/kubectl_advice.ts";
import { assert, assertEquals, assertStringIncludes } from "../../../support/assert.ts";

const WEBHOOK =
  'Error from server (InternalError): error when creating "STDIN": Internal error occurred: failed calling ' +
  'webhook "webhook.cert-manager.io": failed to call webhook: Post ' +
  '"https://cert-manager-webhook.cert-manager.svc:443/mutate?timeout=10s": ';
const CREATING = 'Error from server (Forbidden): error when creating "STDIN": ';
const KIND = (kind: string, version: string) =>
  `error: resource mapping not found for name: "x" namespace: "shop" from "STDIN": no matches for kind "${kind}" in ` +
  `version "${version}"\nensure CRDs are installed first`;
const CONFLICT = 'error: Apply failed with 2 conflicts: conflicts with "kube-controller-manager" using apps/v1:\n' +
  "- .spec.replicas\n- .spec.template\nPlease review the fields above--they currently have other managers. Here\nare the " +
  "ways you can resolve this warning:\n* If you intend to manage all of these fields, please re-run the apply\n  command " +
  "with the `--force-conflicts` flag.\n* If you do not intend to manage all of the fields, please edit your\n  manifest to " +
  "remove references to the fields that should keep their\n  current managers.\n* You may co-own fields by updating your " +
  "manifest to match the existing\n  value; in this case, you'll become the manager if the other manager(s)\n  stop " +
  "managing the field (remove it from their configuration).\nSee https://kubernetes.io/docs/reference/using-api/" +
  "server-side-apply/#conflicts";

const [IMMUTABLE, VOLUME] = ["delete the object by hand", "deleting the volume deletes its data"];
const [TERMINATING, QUOTA] = ["being deleted; wait until it is gone", "a ResourceQuota of the namespace"];
const [NOT_READY, DENIED] = ["webhook webhook.cert-manager.io of the cluster does not answer", "refuses these objects"];
const [RIGHTS, LOGIN] = ["this login may not", "does not accept this login"];
const [UNREACHABLE, BUSY] = ["it does not reach the cluster", "the API server is starting or overloaded"];
const [UNKNOWN_KIND, OLD_KIND] = ["does not know these kinds", "does not serve"];
const [UNKNOWN_FIELD, VALUE] = ["does not know these fields", "does not take a value"];
const [LARGE, KUBECONFIG] = ["too large for the cluster", "the kubeconfig cannot be used"];
const [CERTIFICATE, EXPIRED] = ["do not belong together", "has expired; renew it, and check the clock"];

const ROWS: Readonly<Record<string, readonly (readonly [message: string, expected: string])[]>> = {
  "fields that cannot change": [
    [
      "The StatefulSet \"db\" is invalid: spec: Forbidden: updates to statefulset spec for fields other than 'replicas', " +
      "'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and " +
      "'minReadySeconds' are forbidden",
      IMMUTABLE,
    ],
    [
      'The Deployment "web" is invalid: spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable',
      IMMUTABLE,
    ],
    [
      `The Job "migrate" is invalid: spec.template: Invalid value: core.PodTemplateSpec{${
        "ObjectMeta:v1, ".repeat(400)
      }` +
      "}: field is immutable",
      IMMUTABLE,
    ],
    [
      'The Service "web" is invalid: spec.clusterIPs[0]: Invalid value: ["10.43.0.9"]: may not change once set',
      IMMUTABLE,
    ],
    ['The Service "web" is invalid: \n* spec.clusterIP: Invalid value: "": field is immutable\n* x', IMMUTABLE],
    ['The RoleBinding "x" is invalid: roleRef: Invalid value: rbac.RoleRef{}: cannot change roleRef', IMMUTABLE],
    ['The ConfigMap "x" is invalid: data: Forbidden: field is immutable when `immutable` is set', IMMUTABLE],
    ['The StorageClass "x" is invalid: provisioner: Forbidden: updates to provisioner are forbidden.', IMMUTABLE],
    [
      'The Pod "x" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`',
      IMMUTABLE,
    ],
  ],
  "volumes, whose deletion loses data": [
    [
      'The PersistentVolumeClaim "db" is invalid: spec: Forbidden: spec is immutable after creation except ' +
      "resources.requests and volumeAttributesClassName for bound claims",
      VOLUME,
    ],
    [
      'The PersistentVolumeClaim "db" is invalid: spec.resources.requests.storage: Forbidden: field can not be less than ' +
      "status.capacity",
      VOLUME,
    ],
    [
      'The PersistentVolume "db" is invalid: spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is ' +
      "immutable after creation",
      VOLUME,
    ],
    [
      'Error from server (Forbidden): persistentvolumeclaims "db" is forbidden: only dynamically provisioned pvc can be ' +
      "resized and the storageclass that provisions the pvc must support resize",
      VOLUME,
    ],
  ],
  "something that is being deleted": [
    // A text that is no namespace gets into no command.
    [
      "Error from server (Forbidden): unable to create new content in namespace $(reboot) because it is being terminated",
      "an object of this name is still being deleted",
    ],
    [
      `${CREATING}configmaps "a" is forbidden: unable to create new content in namespace shop because it is being ` +
      "terminated",
      "the namespace shop is being deleted",
    ],
    ['Error from server (AlreadyExists): object is being deleted: configmaps "a" already exists', TERMINATING],
    [
      "Error from server (MethodNotAllowed): create not allowed while custom resource definition is terminating",
      TERMINATING,
    ],
  ],
  "limits of a namespace": [
    [
      `${CREATING}pods "a" is forbidden: exceeded quota: small, requested: pods=1, used: pods=10, limited: pods=10`,
      QUOTA,
    ],
    [
      `${CREATING}pods "a" is forbidden: failed quota: small: must specify limits.cpu for: c; limits.memory for: c`,
      QUOTA,
    ],
    [`${CREATING}pods "a" is forbidden: maximum cpu usage per Container is 800m, but limit is 1500m`, "a LimitRange"],
    [
      `${CREATING}persistentvolumeclaims "a" is forbidden: minimum storage usage per PersistentVolumeClaim is 2Gi, but ` +
      "request is 1Gi",
      "a LimitRange",
    ],
    [
      `${CREATING}pods "a" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 4.0`,
      "a LimitRange",
    ],
    [
      `${CREATING}pods "a" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false ` +
      '(container "c" must set securityContext.allowPrivilegeEscalation=false)',
      "the Pod Security level",
    ],
  ],
  "answers that are no fault of the package": [
    ["Error from server: etcdserver: leader changed", BUSY],
    [
      "Error from server (Timeout): the server was unable to return a response in the time allotted, but may still be " +
      "processing requests",
      BUSY,
    ],
    ['error: the server doesn\'t have a resource type "widgets"', UNKNOWN_KIND],
    ["Error from server: mkdir /var/lib/rancher/k3s: no space left on device", "a disk is full"],
  ],
  "a webhook that is not ready, and not an API server": [
    [`${WEBHOOK}dial tcp 10.43.0.9:443: connect: connection refused`, NOT_READY],
    [`${WEBHOOK}no endpoints available for service "cert-manager-webhook"`, NOT_READY],
    [`${WEBHOOK}context deadline exceeded`, NOT_READY],
    [`${WEBHOOK}tls: failed to verify certificate: x509: certificate signed by unknown authority`, NOT_READY],
    [`${WEBHOOK}service "cert-manager-webhook" not found`, NOT_READY],
    [
      'Error from server: conversion webhook for example.org/v1, Kind=Thing failed: Post "https://w.x.svc:443/": dial ' +
      "tcp 10.43.0.9:443: i/o timeout",
      "the webhook example.org/v1 of the cluster does not answer",
    ],
  ],
  "a policy that refuses": [
    [
      'Error from server: error when creating "STDIN": admission webhook "validate.kyverno.svc-fail" denied the request: ' +
      "resource Deployment/shop/web was blocked; forbidden by policy",
      DENIED,
    ],
    [
      "The deployments \"web\" is invalid: : ValidatingAdmissionPolicy 'limits' with binding 'limits-all' denied request: " +
      "too many replicas",
      DENIED,
    ],
  ],
  "rights and logins": [
    [
      `${CREATING}secrets is forbidden: User "system:serviceaccount:crpe:crpe" cannot create resource "secrets" in API ` +
      'group "" in the namespace "shop"',
      `${RIGHTS} create secrets`,
    ],
    [
      'Error from server (Forbidden): clusterroles.rbac.authorization.k8s.io "x" is forbidden: User "u" cannot patch ' +
      'resource "clusterroles" in API group "rbac.authorization.k8s.io" at the cluster scope',
      `${RIGHTS} patch clusterroles`,
    ],
    [
      `${CREATING}clusterroles.rbac.authorization.k8s.io "x" is forbidden: user "u" (groups=["system:authenticated"]) is ` +
      'attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["get"]}',
      "allow it escalate and bind",
    ],
    ["error: You must be logged in to the server (Unauthorized)", LOGIN],
    [
      "error: You must be logged in to the server (the server has asked for the client to provide credentials)",
      LOGIN,
    ],
    ["error: Unauthorized", LOGIN],
    ["Error from server (Forbidden): secrets is forbidden", "the cluster does not allow it"],
  ],
  "fields of other managers": [
    [CONFLICT, "take them over with --force-conflicts"],
    [
      'error: Apply failed with 1 conflict: conflict with "deploy@node1" using v1: .data.a',
      "take them over with --force-conflicts",
    ],
    [
      'Error from server (Conflict): Operation cannot be fulfilled on deployments.apps "web": the object has been ' +
      "modified; please apply your changes to the latest version and try again",
      "at the same time; run this command again",
    ],
  ],
  "kinds": [
    [KIND("Widget", "example.com/v1"), UNKNOWN_KIND],
    [KIND("ServiceMonitor", "monitoring.coreos.com/v1"), UNKNOWN_KIND],
    ['error: unable to recognize "STDIN": no matches for kind "Widget" in version "example.com/v1"', UNKNOWN_KIND],
    ["Error from server (NotFound): the server could not find the requested resource", UNKNOWN_KIND],
    [KIND("Ingress", "extensions/v1beta1"), `${OLD_KIND} Ingress in extensions/v1beta1`],
    [KIND("PodSecurityPolicy", "policy/v1beta1"), OLD_KIND],
    [KIND("CronJob", "batch/v1beta1"), OLD_KIND],
    [KIND("HorizontalPodAutoscaler", "autoscaling/v2beta2"), OLD_KIND],
    [KIND("FlowSchema", "flowcontrol.apiserver.k8s.io/v1beta2"), OLD_KIND],
    [KIND("CustomResourceDefinition", "apiextensions.k8s.io/v1beta1"), OLD_KIND],
    [
      "error: timed out waiting for the condition on customresourcedefinitions/widgets.example.com",
      "does not accept a definition",
    ],
  ],
  "fields and values": [
    [
      'Error from server (BadRequest): error when creating "STDIN": Deployment in version "v1" cannot be handled as a ' +
      'Deployment: strict decoding error: unknown field "spec.replica"',
      UNKNOWN_FIELD,
    ],
    [
      "error: failed to create typed patch object (shop/a; /v1, Kind=ConfigMap): .dta: field not declared in schema",
      UNKNOWN_FIELD,
    ],
    ['Error from server (BadRequest): strict decoding error: duplicate field "spec.a"', UNKNOWN_FIELD],
    [
      'The Deployment "web" is invalid: \n* spec.selector: Required value\n* spec.template.metadata.labels: Invalid ' +
      "value: {}: `selector` does not match template `labels`",
      "misses a required field",
    ],
    ["error: resource mapping: cannot use generate name with apply", "misses a required field"],
    [
      'error: error validating "STDIN": error validating data: ValidationError(Deployment.spec): invalid type',
      VALUE,
    ],
    ['The Service "a" is invalid: spec.type: Unsupported value: "Foo": supported values: "ClusterIP"', VALUE],
    [
      "error: failed to create typed patch object (shop/a; apps/v1, Kind=Deployment): errors:\n  " +
      '.spec.template.spec.containers[name="c"].env: duplicate entries for key [name="A"]',
      VALUE,
    ],
    [
      "Error from server (BadRequest): json: cannot unmarshal number into Go struct field .labels of type string",
      VALUE,
    ],
    ['The Pod "a" is invalid: spec.x: Forbidden: may not be set for init containers', VALUE],
    [
      'The Service "a" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated',
      "another Service has this port",
    ],
  ],
  "size and form": [
    ["Error from server: etcdserver: request is too large", LARGE],
    ["Error from server (RequestEntityTooLarge): Request entity too large: limit is 3145728", LARGE],
    [
      'The CustomResourceDefinition "x" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes',
      LARGE,
    ],
    ['The ConfigMap "x" is invalid: []: Too long: may not be more than 1048576 bytes', LARGE],
    [
      "Error from server: rpc error: code = ResourceExhausted desc = trying to send message larger than max (2105435 vs. " +
      "2097152)",
      LARGE,
    ],
    [
      "error: error converting YAML to JSON: yaml: line 4: mapping values are not allowed in this context",
      "cannot read",
    ],
    ["Error from server (BadRequest): yaml: control characters are not allowed", "take control characters out"],
  ],
  "objects that others need": [
    [
      'Error from server (NotFound): error when creating "STDIN": namespaces "shop" not found',
      "the namespace shop does not",
    ],
    [`${CREATING}pods "a" is forbidden: no PriorityClass with name high was found`, "high does not exist"],
    [
      `${CREATING}pods "a" is forbidden: error looking up service account shop/app: serviceaccount "app" not found`,
      "shop/app does not exist",
    ],
    [`${CREATING}pods "a" is forbidden: pod rejected: RuntimeClass "kata" not found`, "kata does not exist"],
  ],
  "the kubeconfig": [
    ['error: context "site" does not exist', KUBECONFIG],
    ["Error in configuration: context was not found for specified context: site", KUBECONFIG],
    ['error: no server found for cluster "site"', KUBECONFIG],
    ["error: stat /root/missing.yaml: no such file or directory", KUBECONFIG],
    ['error: error loading config file "/root/.kube/config": yaml: line 3: did not find expected key', KUBECONFIG],
    [
      "error: unable to read client-cert /x/c.crt for default due to open /x/c.crt: no such file or directory",
      KUBECONFIG,
    ],
    [
      'error: error loading config file "/etc/rancher/k3s/k3s.yaml": open /etc/rancher/k3s/k3s.yaml: permission denied',
      "it cannot read its configuration",
    ],
    ["open /etc/rancher/k3s/k3s.yaml: permission denied", "it cannot read its configuration"],
    [
      "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
      "because no kubeconfig names one",
    ],
    ["error: unknown flag: --server-side", "too old"],
  ],
  "a login program": [
    [
      "Unable to connect to the server: getting credentials: exec: executable aws not found\n\nIt looks like you are " +
      "trying to use a client-go credential plugin that is not installed.",
      "the login program aws that the kubeconfig names is not on $PATH",
    ],
    [
      'Unable to connect to the server: getting credentials: exec: exec: "gke": executable file not found in $PATH',
      "the login program gke",
    ],
    [
      "Unable to connect to the server: getting credentials: exec: executable kubelogin failed with exit code 1",
      "the login program that the kubeconfig names fails",
    ],
  ],
  "certificates": [
    [
      "Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by unknown authority",
      CERTIFICATE,
    ],
    [
      "Unable to connect to the server: tls: failed to verify certificate: x509: certificate is valid for 10.43.0.1, " +
      "127.0.0.1, not 192.168.1.9",
      CERTIFICATE,
    ],
    [
      "Unable to connect to the server: tls: failed to verify certificate: x509: certificate has expired or is not yet " +
      "valid: current time 1970-01-01T00:01:00Z is before 2026-01-01T00:00:00Z",
      EXPIRED,
    ],
    ["Unable to connect to the server: http: server gave HTTP response to HTTPS client", "is no API server"],
  ],
  "the way to the API server": [
    ["The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?", UNREACHABLE],
    ["Unable to connect to the server: dial tcp 10.0.0.1:6443: i/o timeout", UNREACHABLE],
    ["Unable to connect to the server: dial tcp: lookup k3s.lan on 10.0.0.2:53: no such host", UNREACHABLE],
    [
      'Get "https://10.0.0.1:6443/api?timeout=15s": net/http: request canceled while waiting for connection ' +
      "(Client.Timeout exceeded while awaiting headers)",
      UNREACHABLE,
    ],
    ['error: Get "https://10.0.0.1:6443/version": context deadline exceeded', UNREACHABLE],
    ["Unable to connect to the server: net/http: TLS handshake timeout", BUSY],
    ["Error from server: etcdserver: request timed out", BUSY],
    ["Error from server (ServiceUnavailable): the server is currently unable to handle the request", BUSY],
    ["Error from server (TooManyRequests): the server has received too many requests, please try again later", BUSY],
    ["Error from server: etcdserver: mvcc: database space exceeded", "etcd is full"],
  ],
  "anything else": [["something else", "correct the cause that it names"], ["", "correct the cause that it names"]],
};

const advise = (stderr: string) => adviseOn(failureLinesOf({ stderr, stdout: "" }));

for (const [criterion, rows] of Object.entries(ROWS)) {
  Deno.test(`[85] kubectl's failures get advice that fits: ${criterion}`, () => {
    for (const [message, expected] of rows) assertStringIncludes(advise(message), expected, message.slice(0, 200));
  });
}

for (
  const [criterion, messages, expected] of [
    [
      "a webhook before an API server",
      [`${WEBHOOK}connection refused`, "The connection to the server 10.0.0.1:6443 was refused"],
      NOT_READY,
    ],
    [
      "a reason before rights in general",
      [
        "Error from server (Forbidden): secrets is forbidden",
        `${CREATING}pods "a" is forbidden: exceeded quota: small`,
      ],
      QUOTA,
    ],
    ["a conflict before a missing kind", [KIND("Widget", "example.com/v1"), CONFLICT], "--force-conflicts"],
    [
      "a warning is no failure",
      ['Warning: would violate PodSecurity "restricted:latest": x', 'namespaces "shop" not found'],
      "the namespace shop does not exist",
    ],
  ] as const
) {
  Deno.test(`[85] the most specific of several failures gives the advice: ${criterion}`, () => {
    assertStringIncludes(advise(messages.join("\n")), expected);
    assertStringIncludes(advise(messages.toReversed().join("\n")), expected);
  });
}

Deno.test("failureLinesOf() gives each line once, without warnings, explanations and control characters", () => {
  const stderr = `Warning: old\r\n\x1b[31mred\x1b[0m\x07\r\n\n${CONFLICT}\nagain\nagain\n`;
  assertEquals(failureLinesOf({ stderr, stdout: "out" }), [
    "red",
    'error: Apply failed with 2 conflicts: conflicts with "kube-controller-manager" using apps/v1:',
    "- .spec.replicas",
    "- .spec.template",
    "again",
  ]);
  assertEquals(failureLinesOf({ stderr: "Warning: old\n", stdout: "" }), ["Warning: old"]);
  assertEquals(failureLinesOf({ stderr: "\n", stdout: "out\n" }), ["out"]);
});

Deno.test("selectLasting() selects the failures that the rest of a package can neither cause nor heal", () => {
  const lasting = [
    'error: Apply failed with 1 conflict: conflict with "helm": .spec.replicas',
    'The Deployment "web" is invalid: spec.selector: Invalid value: {}: field is immutable',
    ROWS["volumes, whose deletion loses data"]![0]![0],
  ];
  const passing = ['namespaces "shop" not found', KIND("Widget", "example.com/v1"), `${WEBHOOK}connection refused`];
  assertEquals(selectLasting([...passing, ...lasting]), lasting);
});

Deno.test("adviseOn() takes no time over long lines", () => {
  const start = performance.now();
  for (
    const text of ['conversion webhook for "', "Too long: ", 'is invalid: "', "ValidatingAdmissionPolicy '", "a b "]
  ) {
    adviseOn([text.repeat(200_000)]);
  }
  assert(performance.now() - start < 2000, "each pattern reads the ends of a line");
});
