import { BUILT_IN_GROUPS } from "./cluster_kinds.ts";
import type { ObjectIdentity } from "./object_identity.ts";

// Helm's InstallOrder (pkg/release/util/kind_sorter.go) with these differences: CustomResourceDefinitions come right
// after Namespaces, PriorityClasses and other kinds that Pods name come before everything that makes Pods.
const FIRST =
  ("Namespace CustomResourceDefinition PriorityClass PriorityLevelConfiguration FlowSchema RuntimeClass DeviceClass " +
    "NetworkPolicy ResourceQuota LimitRange PodSecurityPolicy PodDisruptionBudget ServiceAccount Secret ConfigMap " +
    "CSIDriver StorageClass VolumeAttributesClass PersistentVolume PersistentVolumeClaim ResourceClaimTemplate " +
    "ResourceClaim ClusterRole ClusterRoleBinding Role RoleBinding Service Endpoints EndpointSlice PodTemplate " +
    "DaemonSet Pod ReplicationController ReplicaSet Deployment HorizontalPodAutoscaler StatefulSet Job CronJob " +
    "IngressClass Ingress").split(" ");

// These can make the API server refuse everything else as long as the workload behind them is not running.
const LAST = ("MutatingAdmissionPolicy MutatingAdmissionPolicyBinding ValidatingAdmissionPolicy " +
  "ValidatingAdmissionPolicyBinding MutatingWebhookConfiguration ValidatingWebhookConfiguration APIService").split(" ");

const RANKS: ReadonlyMap<string, number> = new Map([
  ...FIRST.map((kind, i) => [kind, i] as const),
  ...LAST.map((kind, i) => [kind, FIRST.length + 1 + i] as const),
]);

/**
 * The position of a kind in the order of installation: a lower rank is applied first. Removal goes the other way. Kinds
 * that are not known, custom resources among them, come after the built-in kinds and before webhooks and APIServices.
 */
export function installRank({ group, kind }: Pick<ObjectIdentity, "group" | "kind">): number {
  return (BUILT_IN_GROUPS.has(group) ? RANKS.get(kind) : undefined) ?? FIRST.length;
}
