import { installRank } from "../../../lib/kubepkg/install_rank.ts";
import { identifyObject } from "../../../lib/kubepkg/object_identity.ts";
import { readDeclaredScopes, scopeOf } from "../../../lib/kubepkg/scope_of.ts";
import { assertEquals } from "../../support/assert.ts";

const toObject = (type: string) => {
  const at = type.lastIndexOf("/");
  return { apiVersion: type.slice(0, at), kind: type.slice(at + 1) };
};

const CLUSTER = [
  "v1/Namespace",
  "v1/Node",
  "v1/PersistentVolume",
  "rbac.authorization.k8s.io/v1/ClusterRole",
  "rbac.authorization.k8s.io/v1beta1/ClusterRoleBinding",
  "storage.k8s.io/v1/StorageClass",
  "storage.k8s.io/v1/VolumeAttributesClass",
  "networking.k8s.io/v1/IngressClass",
  "networking.k8s.io/v1/ServiceCIDR",
  "resource.k8s.io/v1/DeviceClass",
  "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding",
  "cert-manager.io/v1/ClusterIssuer",
  "gateway.networking.k8s.io/v1/GatewayClass",
  "cilium.io/v2/CiliumClusterwideNetworkPolicy",
  "kyverno.io/v1/ClusterPolicy",
  "constraints.gatekeeper.sh/v1beta1/K8sRequiredLabels",
  "operator.tigera.io/v1/Installation",
  "snapshot.storage.k8s.io/v1/VolumeSnapshotClass",
];
const NAMESPACED = [
  "v1/ConfigMap",
  "apps/v1/Deployment",
  "rbac.authorization.k8s.io/v1/Role",
  "storage.k8s.io/v1/CSIStorageCapacity",
  "resource.k8s.io/v1/ResourceClaim",
  "coordination.k8s.io/v1/Lease",
  "cert-manager.io/v1/Certificate",
  "longhorn.io/v1beta2/Setting",
  "monitoring.coreos.com/v1/Prometheus",
  "metallb.io/v1beta1/IPAddressPool",
  "kubevirt.io/v1/KubeVirt",
  "postgresql.cnpg.io/v1/Cluster",
  "argoproj.io/v1alpha1/Workflow",
  "example.org/v1/Namespace",
  "constructor/v1/Thing",
];
for (const [types, scope] of [[CLUSTER, "Cluster"], [NAMESPACED, "Namespaced"]] as const) {
  for (const type of types) {
    Deno.test(`[81] scopeOf() says that ${type} is ${scope}`, () => assertEquals(scopeOf(toObject(type)), scope));
  }
}

function makeDefinition(group: string, kind: string, scope?: string) {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    spec: { group, names: { kind }, scope },
  };
}

Deno.test("[81] scopeOf() follows the CustomResourceDefinitions of the package, but not for built-in groups", () => {
  const declared = readDeclaredScopes([
    makeDefinition("example.org", "Wide", "Cluster"),
    makeDefinition("example.org", "Narrow"),
    makeDefinition("cert-manager.io", "ClusterIssuer", "Namespaced"),
    makeDefinition("apps", "Deployment", "Cluster"),
    { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", spec: { names: 5 } },
    { apiVersion: "example.org/v1", kind: "CustomResourceDefinition" },
  ]);
  const types = [
    "example.org/v2/Wide",
    "example.org/v1/Narrow",
    "cert-manager.io/v1/ClusterIssuer",
    "apps/v1/Deployment",
  ];
  assertEquals(types.map((type) => scopeOf(toObject(type), declared)), [
    "Cluster",
    "Namespaced",
    "Namespaced",
    "Namespaced",
  ]);
});

Deno.test("[82] installRank() puts Namespaces and definitions first, webhooks and APIServices last", () => {
  const order = [
    "v1/Namespace",
    "apiextensions.k8s.io/v1/CustomResourceDefinition",
    "scheduling.k8s.io/v1/PriorityClass",
    "node.k8s.io/v1/RuntimeClass",
    "networking.k8s.io/v1/NetworkPolicy",
    "v1/ResourceQuota",
    "v1/LimitRange",
    "policy/v1/PodDisruptionBudget",
    "v1/ServiceAccount",
    "v1/Secret",
    "v1/ConfigMap",
    "storage.k8s.io/v1/StorageClass",
    "v1/PersistentVolume",
    "v1/PersistentVolumeClaim",
    "rbac.authorization.k8s.io/v1/ClusterRole",
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding",
    "rbac.authorization.k8s.io/v1/Role",
    "rbac.authorization.k8s.io/v1/RoleBinding",
    "v1/Service",
    "apps/v1/DaemonSet",
    "v1/Pod",
    "apps/v1/ReplicaSet",
    "apps/v1/Deployment",
    "autoscaling/v2/HorizontalPodAutoscaler",
    "apps/v1/StatefulSet",
    "batch/v1/Job",
    "batch/v1/CronJob",
    "networking.k8s.io/v1/IngressClass",
    "networking.k8s.io/v1/Ingress",
    "serving.knative.dev/v1/Service",
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding",
    "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration",
    "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration",
    "apiregistration.k8s.io/v1/APIService",
  ];
  const ranks = new Map(order.map((type) => [type, installRank(identifyObject(toObject(type)))]));
  assertEquals(order.toReversed().sort((a, b) => ranks.get(a)! - ranks.get(b)!), order);
});
