import { groupOf, type ObjectIdentity } from "./object_identity.ts";

// The stable version of each group of Kubernetes whose kinds people write, and those kinds.
const KINDS: Readonly<Record<string, string>> = {
  "v1": "ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim Pod PodTemplate " +
    "ReplicationController ResourceQuota Secret Service ServiceAccount",
  "admissionregistration.k8s.io/v1": "MutatingWebhookConfiguration ValidatingAdmissionPolicy " +
    "ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration",
  "apiextensions.k8s.io/v1": "CustomResourceDefinition",
  "apiregistration.k8s.io/v1": "APIService",
  "apps/v1": "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet",
  "autoscaling/v2": "HorizontalPodAutoscaler",
  "batch/v1": "CronJob Job",
  "certificates.k8s.io/v1": "CertificateSigningRequest",
  "coordination.k8s.io/v1": "Lease",
  "discovery.k8s.io/v1": "EndpointSlice",
  "events.k8s.io/v1": "Event",
  "flowcontrol.apiserver.k8s.io/v1": "FlowSchema PriorityLevelConfiguration",
  "networking.k8s.io/v1": "Ingress IngressClass NetworkPolicy",
  "node.k8s.io/v1": "RuntimeClass",
  "policy/v1": "PodDisruptionBudget",
  "rbac.authorization.k8s.io/v1": "ClusterRole ClusterRoleBinding Role RoleBinding",
  "scheduling.k8s.io/v1": "PriorityClass",
  "storage.k8s.io/v1": "CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment",
};

// `extensions` had kinds of several groups, and old clusters serve it.
const GROUPS = new Set(Object.keys(KINDS).map(groupOf));
const PLACES = new Map<string, { readonly apiVersion: string; readonly kind: string }[]>();
for (const [apiVersion, kinds] of Object.entries(KINDS)) {
  for (const kind of kinds.split(" ")) {
    const key = kind.toLowerCase();
    PLACES.set(key, [...PLACES.get(key) ?? [], { apiVersion, kind }]);
  }
}

/**
 * Finds the kind that was meant where a group of Kubernetes does not have this one: `apps/v1` Deployment for `v1`
 * Deployment, ConfigMap for configmap. `undefined` for kinds that are right, and for those that are not known here.
 */
export function findMeantKind(
  { group, kind }: Pick<ObjectIdentity, "group" | "kind">,
): { readonly apiVersion: string; readonly kind: string } | undefined {
  const places = GROUPS.has(group) ? PLACES.get(kind.toLowerCase()) ?? [] : [];
  const own = places.find((it) => groupOf(it.apiVersion) === group);
  return own === undefined ? places[0] : own.kind === kind ? undefined : own;
}

/** The stable `apiVersion` of a kind, of its own group if that has it; `undefined` for kinds that are not known here. */
export function findStableVersion(apiVersion: string, kind: string): string | undefined {
  const places = PLACES.get(kind.toLowerCase()) ?? [];
  return (places.find((it) => groupOf(it.apiVersion) === groupOf(apiVersion)) ?? places[0])?.apiVersion;
}
