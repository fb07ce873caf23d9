import { cannot, CorruptError } from "../oci/error.ts";
import { isJsonObject } from "../oci/json.ts";
import { flattenObjects, listNullItems, uniqueKey } from "./flatten_objects.ts";
import { API_VERSION, type KubeObject, type KubePkg } from "./kubepkg.ts";
import { identifyObject } from "./object_identity.ts";
import { parseKubePkg } from "./parse_kubepkg.ts";

/** What the documents of a package do not say: its name, its version, and the namespace of objects that name none. */
interface PackageHeader {
  readonly name: string;
  readonly version: string;
  /** `default` where it is absent. */
  readonly namespace?: string;
}

/** A YAML or JSON file with Kubernetes objects. */
export interface ManifestSource {
  /** Names the file in errors. */
  readonly what: string;
  /** As `readDocuments` gives them. */
  readonly documents: readonly unknown[];
}

/**
 * Makes a KubePkg of plain Kubernetes objects: those of one file, or of the files of a folder in their order. Lists
 * are unpacked, but for those with null items. The keys of `spec.manifests` are `<name>.<namespace>.<kind>` in lower
 * case, with a number where two objects would have the same. `spec.images` is empty: `findImages` gives what the
 * objects use.
 *
 * @throws {CorruptError} for a document that is no Kubernetes object, none at all, or a header that is wrong
 */
export function kubePkgFromManifests(sources: Iterable<ManifestSource>, header: PackageHeader): KubePkg {
  const manifests = new Map<string, KubeObject>();
  for (const { what, documents } of sources) {
    documents.forEach((document, i) => {
      const where = documents.length > 1 ? `${what}, document ${i + 1}` : what;
      for (const object of readObjects(document, where)) {
        manifests.set(uniqueKey(keyOf(object), (key) => manifests.has(key)), object);
      }
    });
  }
  if (manifests.size === 0) {
    throw new CorruptError(cannot("make a package", "there is no Kubernetes object in the files"));
  }
  const { name, version, namespace } = header;
  return parseKubePkg({
    apiVersion: API_VERSION,
    kind: "KubePkg",
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    spec: { version, images: {}, manifests: Object.fromEntries(manifests) },
  }, `package ${name}`);
}

function readObjects(document: unknown, what: string): KubeObject[] {
  if (!isJsonObject(document) || typeof document.apiVersion !== "string" || typeof document.kind !== "string") {
    throw new CorruptError(cannot(`use ${what}`, "it is no Kubernetes object, which has an apiVersion and a kind"));
  }
  const objects = flattenObjects({ document }, what).map(({ object }) => object);
  // The check of the package finds null items in their list.
  const hasNull = objects.length > 0 && listNullItems({ document }, 1).length > 0;
  return hasNull ? [document as unknown as KubeObject] : objects;
}

function keyOf(object: KubeObject): string {
  const { name, namespace, kind } = identifyObject(object);
  return [name, namespace, kind].filter((part) => part !== "").join(".").toLowerCase();
}
