import { identifyObject, identityKey, type ObjectIdentity } from "../../kubepkg/object_identity.ts";
import type { PackageObject } from "../../kubepkg/package_objects.ts";

/** An object that kubectl found in the cluster. */
export interface PresentObject {
  readonly identity: ObjectIdentity;
  /** Another one when the object was deleted and made again. */
  readonly uid: string;
  /** Whether it belongs to another object, and is deleted with it. */
  readonly isOwned: boolean;
}

/** The columns of `kubectl get -o=custom-columns` that `parsePresentObjects` reads. */
export const COLUMNS = "A:.apiVersion,K:.kind,NS:.metadata.namespace,U:.metadata.uid," +
  // The name comes last: the names of roles may have spaces.
  "O:.metadata.ownerReferences[*].kind,N:.metadata.name";

const UNSET = "<none>";

// Resources that controllers make for other objects, often without naming an owner.
const TRANSIENT: ReadonlySet<string> = new Set([
  ...["events", "events.events.k8s.io", "endpoints", "endpointslices.discovery.k8s.io", "leases.coordination.k8s.io"],
  ...["pods.metrics.k8s.io", "controllerrevisions.apps"],
]);

const EVERYWHERE: ReadonlySet<string> = new Set([
  ...["ConfigMap/kube-root-ca.crt", "ConfigMap/openshift-service-ca.crt", "ConfigMap/istio-ca-root-cert"],
  ...["ServiceAccount/default", "ServiceAccount/builder", "ServiceAccount/deployer"],
]);

/** Parses the output of `kubectl get --no-headers` with `COLUMNS`. Lines of another form are skipped. */
export function parsePresentObjects(text: string): PresentObject[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S.*)$/.exec(line.trimEnd());
    if (match === null) return [];
    const [, apiVersion = "", kind = "", namespace = "", uid = "", owners = "", name = ""] = match;
    const metadata = { name, ...(namespace === UNSET ? {} : { namespace }) };
    return [{ identity: identifyObject({ apiVersion, kind, metadata }), uid, isOwned: owners !== UNSET }];
  });
}

/**
 * Selects the objects that are present. A kind that is not known counts as namespaced, but the cluster may know better: then
 * the present object has no namespace.
 */
export function selectPresent(
  objects: readonly PackageObject[],
  present: readonly PresentObject[],
): PackageObject[] {
  const found = new Set(present.map(({ identity }) => identityKey(identity)));
  return objects.filter(({ identity }) => {
    return found.has(identityKey(identity)) || found.has(identityKey({ ...identity, namespace: "" }));
  });
}

/** Tells whether objects of a resource (`endpoints`, `events.events.k8s.io`) come and go with other objects. */
export function isTransient(resource: string): boolean {
  return TRANSIENT.has(resource);
}

/** Tells whether the control plane (also that of OpenShift and Istio) makes an object of this name in each Namespace. */
export function isInEveryNamespace({ kind, name }: ObjectIdentity): boolean {
  return EVERYWHERE.has(`${kind}/${name}`) || kind === "RoleBinding" && /^system:(?:image|deployer)/.test(name) ||
    kind === "Secret" && /^(?:default|builder|deployer)-(?:token|dockercfg)-/.test(name);
}
