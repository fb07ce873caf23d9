import { findStableVersion } from "./known_kinds.ts";

// What the API server no longer serves, and since which release of Kubernetes (its deprecated API migration guide). Other
// kinds of these versions are still served.
const REMOVED: readonly (readonly [apiVersion: string, since: string, kinds: string])[] = [
  ["extensions/v1beta1", "1.16", "DaemonSet Deployment NetworkPolicy PodSecurityPolicy ReplicaSet"],
  ["apps/v1beta1", "1.16", "ControllerRevision Deployment StatefulSet"],
  ["apps/v1beta2", "1.16", "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet"],
  ["extensions/v1beta1", "1.22", "Ingress"],
  ["admissionregistration.k8s.io/v1beta1", "1.22", "MutatingWebhookConfiguration ValidatingWebhookConfiguration"],
  ["apiextensions.k8s.io/v1beta1", "1.22", "CustomResourceDefinition"],
  ["apiregistration.k8s.io/v1beta1", "1.22", "APIService"],
  ["certificates.k8s.io/v1beta1", "1.22", "CertificateSigningRequest"],
  ["coordination.k8s.io/v1beta1", "1.22", "Lease"],
  ["networking.k8s.io/v1beta1", "1.22", "Ingress IngressClass"],
  ["rbac.authorization.k8s.io/v1beta1", "1.22", "ClusterRole ClusterRoleBinding Role RoleBinding"],
  ["scheduling.k8s.io/v1beta1", "1.22", "PriorityClass"],
  ["storage.k8s.io/v1beta1", "1.22", "CSIDriver CSINode StorageClass VolumeAttachment"],
  ["batch/v1beta1", "1.25", "CronJob"],
  ["discovery.k8s.io/v1beta1", "1.25", "EndpointSlice"],
  ["events.k8s.io/v1beta1", "1.25", "Event"],
  ["autoscaling/v2beta1", "1.25", "HorizontalPodAutoscaler"],
  ["policy/v1beta1", "1.25", "PodDisruptionBudget PodSecurityPolicy"],
  ["node.k8s.io/v1beta1", "1.25", "RuntimeClass"],
  ["autoscaling/v2beta2", "1.26", "HorizontalPodAutoscaler"],
  ["flowcontrol.apiserver.k8s.io/v1beta1", "1.26", "FlowSchema PriorityLevelConfiguration"],
  ["storage.k8s.io/v1beta1", "1.27", "CSIStorageCapacity"],
  ["flowcontrol.apiserver.k8s.io/v1beta2", "1.29", "FlowSchema PriorityLevelConfiguration"],
  ["flowcontrol.apiserver.k8s.io/v1beta3", "1.32", "FlowSchema PriorityLevelConfiguration"],
];

/**
 * Finds a kind that Kubernetes no longer serves in a version of its API.
 *
 * @returns the first release without it, and the `apiVersion` that has it now, if any; `undefined` for other kinds
 */
export function findRemovedKind(
  apiVersion: string,
  kind: string,
): { readonly since: string; readonly instead: string | undefined } | undefined {
  const found = REMOVED.find(([version, , kinds]) => version === apiVersion && kinds.split(" ").includes(kind));
  return found && { since: found[1], instead: findStableVersion(apiVersion, kind) };
}
