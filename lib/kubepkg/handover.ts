import { computeDigest, splitDigest } from "../oci/digest.ts";
import { isJsonObject } from "../oci/json.ts";
import type { KubeObject, KubePkg } from "./kubepkg.ts";
import { formatCanonicalJson } from "./version.ts";
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

/**
 * All manifests as one multi-document YAML: Namespaces first, then CustomResourceDefinitions, then the rest, each by
 * their key. Nothing is added to them.
 */
export function formatHandover(kubepkg: KubePkg): HandoverFile {
  const documents = Object.entries(kubepkg.spec.manifests)
    .map(([key, manifest]) => ({ key, manifest, rank: rankOf(manifest) }))
    .sort((a, b) => a.rank - b.rank || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ manifest }) => `---\n${formatYaml(manifest)}`);
  return { name: handoverFileName(kubepkg.metadata.name), text: documents.join("") };
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
    const metadata = isJsonObject(manifest.metadata) ? manifest.metadata : {};
    const name = typeof metadata.name === "string" ? metadata.name : key;
    const namespace = typeof metadata.namespace === "string" ? metadata.namespace : "";
    const label = [manifest.kind, namespace, name].filter((part) => part !== "").join("/");
    // Two API groups may have a kind of the same name; a new version of a group keeps the object.
    const slash = manifest.apiVersion.indexOf("/");
    const group = slash < 0 ? "" : manifest.apiVersion.slice(0, slash);
    found.set(JSON.stringify([group, manifest.kind, namespace, name]), { label, text: formatCanonicalJson(manifest) });
  }
  return found;
}

function rankOf({ apiVersion, kind }: KubeObject): number {
  if (kind === "Namespace" && apiVersion === "v1") return 0;
  if (kind === "CustomResourceDefinition" && apiVersion.startsWith("apiextensions.k8s.io/")) return 1;
  return 2;
}
