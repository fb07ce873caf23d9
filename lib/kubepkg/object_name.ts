import { BUILT_IN_GROUPS } from "./cluster_kinds.ts";
import { DNS_NAME, MAX_DNS_NAME } from "./kubepkg.ts";
import type { ObjectIdentity } from "./object_identity.ts";

const DNS_LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
// Names that the API server checks as a segment of a path (apimachinery, path.ValidatePathSegmentName), or by rules of
// their own that allow more than a DNS name.
const PATH_SEGMENT_KINDS = new Set([
  "rbac.authorization.k8s.io/ClusterRole",
  "rbac.authorization.k8s.io/ClusterRoleBinding",
  "rbac.authorization.k8s.io/Role",
  "rbac.authorization.k8s.io/RoleBinding",
  "certificates.k8s.io/ClusterTrustBundle",
  "networking.k8s.io/IPAddress",
  "apiregistration.k8s.io/APIService",
]);
// Their name becomes part of a DNS name: one label.
const LABEL_KINDS = new Set(["/Namespace", "/Service"]);
// A Job adds 11 characters to the name of its CronJob.
const MAX_CRON_JOB_NAME = 52;

/** What is wrong with the name of an object, for a cluster; `undefined` where nothing is. */
export function findNameProblem({ group, kind, name }: ObjectIdentity): string | undefined {
  const key = `${group}/${kind}`;
  if (PATH_SEGMENT_KINDS.has(key) || isOpenShift(group)) {
    return /^\.{1,2}$|[/%]/.test(name) ? 'must not be "." or ".." and must not contain "/" or "%"' : undefined;
  }
  if (LABEL_KINDS.has(key)) {
    if (DNS_LABEL.test(name)) return undefined;
    return 'must be at most 63 lower-case letters, digits and "-", and begin and end with a letter or digit';
  }
  if (name.length > MAX_DNS_NAME || !DNS_NAME.test(name)) {
    return 'must be lower-case letters, digits, "-" and ".", at most 253 characters';
  }
  if (key === "batch/CronJob" && name.length > MAX_CRON_JOB_NAME) {
    return `must have at most ${MAX_CRON_JOB_NAME} characters`;
  }
  return undefined;
}

/** What is wrong with a namespace; `undefined` where nothing is. */
export function findNamespaceProblem(namespace: string): string | undefined {
  return namespace === ""
    ? undefined
    : findNameProblem({ group: "", kind: "Namespace", namespace: "", name: namespace });
}

function isOpenShift(group: string): boolean {
  return !BUILT_IN_GROUPS.has(group) && group.endsWith(".openshift.io");
}
