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

/** What changes in the cluster, as `kind/namespace/name`, sorted. */
export interface ManifestDiff {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

const MAX_DNS_LABEL = 63;

const ORDER: Readonly<Record<ObjectRank, number>> = { namespace: 0, definition: 1, other: 2 };

/**
 * All manifests as one multi-document YAML: Namespaces first, then CustomResourceDefinitions, then the rest, each by
 * their key. Nothing is added to them.
 */
export function formatHandover(kubepkg: KubePkg): HandoverFile {
  const objects = Object.entries(kubepkg.spec.manifests)
    .map(([key, manifest]) => ({ key, manifest, rank: ORDER[rankOf(identifyObject(manifest, key))] }))
    .sort((a, b) => a.rank - b.rank || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ manifest }) => manifest);
  return { name: handoverFileName(kubepkg.metadata.name), text: formatObjects(objects) };
}

/** Objects as one multi-document YAML, in their order. */
export function formatObjects(objects: readonly KubeObject[]): string {
  return objects.map((object) => `---\n${formatYaml(object)}`).join("");
}

/**
 * The name of a package's file: a DNS label. k3s names what a file brought after the file's name up to the first dot, so
 * there must be no other, and no two packages may share it: where the name had to be changed, a hash tells them apart.
 */
export function handoverFileName(packageName: string): string {
  const label = packageName.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  if (label === packageName && label.length <= MAX_DNS_LABEL) return `${label}.yaml`;
  const hash = splitDigest(computeDigest(packageName)).hex.slice(0, 10);
  const kept = label.slice(0, MAX_DNS_LABEL - hash.length - 1).replace(/-+$/, "");
  return `${kept === "" ? "package" : kept}-${hash}.yaml`;
}

/** Compares the objects of two releases by kind, namespace and name; `undefined` has none. */
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
