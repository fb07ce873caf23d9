/** A kind of object that an API server has. */
export interface ApiResource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly isNamespaced: boolean;
}

// group/version → "Kind:plural", a leading "+" for a namespaced one.
const BUILT_IN: Readonly<Record<string, string>> = {
  "/v1": "Namespace:namespaces PersistentVolume:persistentvolumes Node:nodes +ConfigMap:configmaps +Secret:secrets " +
    "+Service:services +ServiceAccount:serviceaccounts +PersistentVolumeClaim:persistentvolumeclaims +Pod:pods " +
    "+Event:events +Endpoints:endpoints +LimitRange:limitranges +ResourceQuota:resourcequotas",
  "apps/v1": "+Deployment:deployments +StatefulSet:statefulsets +DaemonSet:daemonsets +ReplicaSet:replicasets",
  "batch/v1": "+Job:jobs +CronJob:cronjobs",
  "rbac.authorization.k8s.io/v1":
    "ClusterRole:clusterroles ClusterRoleBinding:clusterrolebindings +Role:roles +RoleBinding:rolebindings",
  "storage.k8s.io/v1": "StorageClass:storageclasses",
  "apiextensions.k8s.io/v1": "CustomResourceDefinition:customresourcedefinitions",
  "admissionregistration.k8s.io/v1": "ValidatingWebhookConfiguration:validatingwebhookconfigurations " +
    "MutatingWebhookConfiguration:mutatingwebhookconfigurations",
  "apiregistration.k8s.io/v1": "APIService:apiservices",
  "networking.k8s.io/v1": "+Ingress:ingresses +NetworkPolicy:networkpolicies IngressClass:ingressclasses",
  "policy/v1": "+PodDisruptionBudget:poddisruptionbudgets",
  "autoscaling/v2": "+HorizontalPodAutoscaler:horizontalpodautoscalers",
  "scheduling.k8s.io/v1": "PriorityClass:priorityclasses",
  "coordination.k8s.io/v1": "+Lease:leases",
  "k3s.cattle.io/v1": "+Addon:addons",
  "helm.cattle.io/v1": "+HelmChart:helmcharts +HelmChartConfig:helmchartconfigs",
};

/** The kinds that the server has before a CustomResourceDefinition adds others. */
export const API_RESOURCES: readonly ApiResource[] = Object.entries(BUILT_IN).flatMap(([groupVersion, kinds]) => {
  const [group = "", version = ""] = groupVersion.split("/");
  return kinds.split(" ").map((text) => {
    const [kind = "", plural = ""] = text.replace(/^\+/, "").split(":");
    return { group, version, kind, plural, isNamespaced: text.startsWith("+") };
  });
});

/** `v1`, `apps/v1`. */
export function groupVersionOf({ group, version }: Pick<ApiResource, "group" | "version">): string {
  return group === "" ? version : `${group}/${version}`;
}

/** The list of the kinds of one group and version, as discovery gives it. */
export function describeGroupVersion(resources: readonly ApiResource[], groupVersion: string): unknown {
  const found = resources.filter((it) => groupVersionOf(it) === groupVersion);
  if (found.length === 0) return undefined;
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion,
    resources: found.map(({ kind, plural, isNamespaced }) => ({
      name: plural,
      singularName: kind.toLowerCase(),
      namespaced: isNamespaced,
      kind,
      ...(kind === "Namespace" ? { shortNames: ["ns"] } : {}),
      verbs: ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    })),
  };
}

/** The list of all groups but the core one. */
export function describeGroups(resources: readonly ApiResource[]): unknown {
  const groups = Map.groupBy(resources.filter(({ group }) => group !== ""), ({ group }) => group);
  return {
    kind: "APIGroupList",
    apiVersion: "v1",
    groups: [...groups].map(([name, members]) => {
      const versions = [...new Set(members.map(groupVersionOf))]
        .map((groupVersion) => ({ groupVersion, version: groupVersion.split("/")[1] }));
      return { name, versions, preferredVersion: versions[0] };
    }),
  };
}

/** Where the OpenAPI document of each group and version is. */
export function listOpenApi(resources: readonly ApiResource[]): unknown {
  const versions = [...new Set(resources.map(groupVersionOf))];
  return {
    paths: Object.fromEntries(versions.map((it) => {
      const path = it.includes("/") ? `apis/${it}` : `api/${it}`;
      return [path, { serverRelativeURL: `/openapi/v3/${path}` }];
    })),
  };
}

/** As much of an OpenAPI document as kubectl reads: that the server checks fields, and knows dry runs. */
export function describeOpenApi(resources: readonly ApiResource[], groupVersion: string): unknown {
  const parameters = ["dryRun", "fieldValidation", "fieldManager", "force"].map((name) => ({ name, in: "query" }));
  const paths = resources.filter((it) => groupVersionOf(it) === groupVersion).map((
    { group, version, kind, plural },
  ) => [
    `/${plural}/{name}`,
    { patch: { parameters, "x-kubernetes-group-version-kind": { group, version, kind }, responses: {} } },
  ]);
  return { openapi: "3.0.0", info: { title: "test", version: "1" }, paths: Object.fromEntries(paths) };
}
