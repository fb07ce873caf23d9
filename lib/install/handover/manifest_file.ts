import type { KubeObject, KubePkg } from "../../kubepkg/kubepkg.ts";
import { formatCanonicalJson } from "../../kubepkg/version.ts";
import { computeDigest, splitDigest } from "../../oci/digest.ts";
import { formatIdentity, identifyObject, type ObjectRank, rankOf } from "./kube_objects.ts";
import { formatYaml } from "./yaml.ts";

/** The manifests of a package as one file for Kubernetes. */
export interface HandoverFile {
  /** `<name>.yaml`, without a folder. */
  readonly name: string;
  readonly text: string;
}

/** The objects that change in the cluster, as `kind/namespace/name`, sorted. */
export interface ManifestDiff {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

const MAX_DNS_LABEL = 63;

const ORDER: Readonly<Record<ObjectRank, number>> = { namespace: 0, definition: 1, other: 2 };

/**
 * Formats all manifests as one multi-document YAML: first Namespaces, then CustomResourceDefinitions, then all others,
 * each group sorted by key. Nothing is added to the manifests.
 */
export function formatHandover(kubepkg: KubePkg): HandoverFile {
  const objects = Object.entries(kubepkg.spec.manifests)
    .map(([key, manifest]) => ({ key, manifest, rank: ORDER[rankOf(identifyObject(manifest, key))] }))
    .sort((a, b) => a.rank - b.rank || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ manifest }) => manifest);
  return { name: handoverFileName(kubepkg.metadata.name), text: formatObjects(objects) };
}

/** Formats objects as one multi-document YAML, in the order given. */
export function formatObjects(objects: readonly KubeObject[]): string {
  return objects.map((object) => `---\n${formatYaml(object)}`).join("");
}

/**
 * Returns the file name of a package: a DNS label and `.yaml`. k3s names the addon of a file by the file name up to its
 * first dot, so the label has no dots, and no two packages may share one. If the package's name had to be changed, a
 * hash of it keeps the label unique.
 */
export function handoverFileName(packageName: string): string {
  const label = packageName.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  if (label === packageName && label.length <= MAX_DNS_LABEL) return `${label}.yaml`;
  const hash = splitDigest(computeDigest(packageName)).hex.slice(0, 10);
  const kept = label.slice(0, MAX_DNS_LABEL - hash.length - 1).replace(/-+$/, "");
  return `${kept === "" ? "package" : kept}-${hash}.yaml`;
}

/**
 * Compares the objects of two releases by group, kind, namespace and name. `undefined` is a release without objects.
 */
export function diffManifests(before: KubePkg | undefined, after: KubePkg | undefined): ManifestDiff {
  const [old, now] = [objectsOf(before), objectsOf(after)];
  const named = (ids: Iterable<string>, from: Map<string, KubeObjectEntry>) =>
    [...ids].map((id) => from.get(id)?.label ?? id).sort();
  return {
    added: named([...now.keys()].filter((id) => !old.has(id)), now),
    changed: named(
      [...now].filter(([id, { text }]) => old.has(id) && old.get(id)?.text !== text).map(([id]) => id),
      now,
    ),
    removed: named([...old.keys()].filter((id) => !now.has(id)), old),
  };
}

interface KubeObjectEntry {
  readonly label: string;
  readonly text: string;
}

function objectsOf(kubepkg: KubePkg | undefined): Map<string, KubeObjectEntry> {
  const found = new Map<string, KubeObjectEntry>();
  for (const [key, manifest] of Object.entries(kubepkg?.spec.manifests ?? {})) {
    const identity = identifyObject(manifest, key);
    const { group, kind, namespace, name } = identity;
    const id = JSON.stringify([group, kind, namespace, name]);
    found.set(id, { label: formatIdentity(identity), text: formatCanonicalJson(manifest) });
  }
  return found;
}
