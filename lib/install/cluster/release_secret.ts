import type { KubeObject, KubePkg } from "../../kubepkg/kubepkg.ts";
import { isPackageName, isVersion } from "../../kubepkg/kubepkg.ts";
import type { PackageId } from "../../kubepkg/package_id.ts";
import { computeDigest, type Digest, isDigest, splitDigest } from "../../oci/digest.ts";
import { cannot, CorruptError } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import type { Secret, SecretMetadata } from "./cluster_api.ts";

/** Everything that makes the manifest file of a package: every server writes the same bytes from it. */
export interface SharedContent {
  readonly kubepkg: KubePkg;
  /** Objects that left the package and stay in its file, because the cluster would delete them otherwise. */
  readonly kept: readonly KubeObject[];
  /** See `HandoverPlan`. */
  readonly revision: number;
  /** k3s names an Addon after the file, so that the name must be the same on all servers. */
  readonly fileName: string;
}

/** Where the content of a release is. */
export interface ContentRef {
  /** The digest of the content as JSON. */
  readonly digest: Digest;
  /** The size of the JSON in bytes. */
  readonly size: number;
  /** How many Secrets it is in; the first one is that of the release. */
  readonly parts: number;
}

/** The newest release of a package in the cluster, without its content. */
export interface ClusterRelease {
  readonly package: PackageId;
  /** `removed`: the package was removed, and this notes it for servers that missed the removal. */
  readonly state: "installed" | "removed";
  /** The version; that of the removed release when the package was removed. */
  readonly version: string;
  /** The digest of the release's identity (`digestOfIdentity`). */
  readonly identity: Digest;
  /** Counts the changes, also those that go back to a lower version. */
  readonly generation: number;
  /** When it was written, as ISO 8601. */
  readonly time: string;
  /** The node id of the server that wrote it. */
  readonly node: string;
  /** Absent for a removed package, and for a release that is too large. */
  readonly content?: ContentRef;
  /** The version of the Secret, for a replacement. */
  readonly resourceVersion?: string;
}

/** The type of the Secrets. */
const SECRET_TYPE = "crpe.octohelm.tech/release";
/** Selects the Secrets that describe a release, without those of further content. */
export const RELEASE_SELECTOR = "app.kubernetes.io/managed-by=crpe,app.kubernetes.io/component=release";
/** The annotation that describes a release, as JSON in one line. */
export const RELEASE_ANNOTATION = "crpe.octohelm.tech/release";
/** The key of the content in the data of a Secret. */
export const CONTENT_KEY = "release";

const ANNOTATION_LIMITS = { maxBytes: 16 * 1024, maxDepth: 8 };
const MAX_LABEL = 63;
const MAX_NODE = 253;
const FILE_NAME = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\.yaml$/;

/** The name of a package's Secret: readable, and different for any two packages. */
export function secretNameOf({ namespace, name }: PackageId): string {
  const hash = splitDigest(computeDigest(`${namespace}/${name}`)).hex.slice(0, 10);
  const label = name.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, MAX_LABEL - hash.length - 1);
  return `crpe-release-${label.replace(/^-+|-+$/g, "") || "package"}-${hash}`;
}

/**
 * The name of the Secret with part `number` of a release's content; part 0 is in the Secret of the release. Two servers that
 * write the same generation write different names, unless the content is the same.
 */
export function partNameOf(
  { package: key, generation, content }: Pick<ClusterRelease, "package" | "generation" | "content">,
  number: number,
): string {
  const name = secretNameOf(key);
  if (number === 0 || content === undefined) return name;
  return `${name}-${generation}-${splitDigest(content.digest).hex.slice(0, 10)}-${number}`;
}

/** Makes the Secret of a release. @param part the first part of its content, compressed */
export function formatReleaseSecret(release: ClusterRelease, part: Uint8Array<ArrayBuffer> | undefined): Secret {
  const { package: key, resourceVersion, ...facts } = release;
  const base = secretOf(secretNameOf(key), { component: "release", part });
  return {
    ...base,
    metadata: {
      ...base.metadata,
      resourceVersion,
      // For people: kubectl get secrets -L crpe.octohelm.tech/package,crpe.octohelm.tech/version
      labels: {
        ...base.metadata.labels,
        "crpe.octohelm.tech/package": toLabel(key.name),
        "crpe.octohelm.tech/version": toLabel(release.version),
        "crpe.octohelm.tech/state": release.state,
      },
      annotations: { [RELEASE_ANNOTATION]: JSON.stringify({ ...key, ...facts }) },
    },
  };
}

/** Makes the Secret of a further part of a release's content. */
export function formatPartSecret(name: string, part: Uint8Array<ArrayBuffer>): Secret {
  return secretOf(name, { component: "release-part", part });
}

/**
 * Reads a release from the metadata of its Secret.
 *
 * @throws {CorruptError} when it is not one that crpe wrote
 */
export function parseRelease({ name: secretName, annotations, resourceVersion }: SecretMetadata): ClusterRelease {
  const what = `the Secret ${secretName}`;
  const bytes = new TextEncoder().encode(annotations[RELEASE_ANNOTATION] ?? "");
  const json = parseJson(bytes, what, ANNOTATION_LIMITS);
  const { namespace, name, state, version, identity, generation, time, node, content } = isJsonObject(json) ? json : {};
  const isValid = isText(namespace, MAX_LABEL) && isPackageName(namespace) && isText(name, MAX_NODE) &&
    isPackageName(name) && (state === "installed" || state === "removed") && isText(version, MAX_NODE) &&
    isVersion(version) && isDigest(identity) && isCount(generation, 1) && isText(time, MAX_LABEL) &&
    isText(node, MAX_NODE) && (content === undefined || isContentRef(content));
  if (!isValid) {
    throw new CorruptError(
      cannot(
        `use ${what}`,
        `its annotation ${RELEASE_ANNOTATION} is not as crpe writes it`,
        "delete the Secret, and a server writes it again",
      ),
    );
  }
  const key: PackageId = { namespace: namespace as string, name: name as string };
  if (secretNameOf(key) !== secretName) {
    throw new CorruptError(
      cannot(`use ${what}`, `it describes ${key.namespace}/${key.name}, whose Secret has another name`),
    );
  }
  return {
    package: key,
    state: state as ClusterRelease["state"],
    version: version as string,
    identity: identity as Digest,
    generation: generation as number,
    time: time as string,
    node: node as string,
    ...(content === undefined || state === "removed" ? {} : { content: content as ContentRef }),
    resourceVersion,
  };
}

/** Reports whether a text can be the name of a manifest file; it becomes part of a path. */
export function isManifestFileName(name: unknown): name is string {
  return typeof name === "string" && FILE_NAME.test(name);
}

function secretOf(
  name: string,
  { component, part }: { component: string; part: Uint8Array<ArrayBuffer> | undefined },
): Secret {
  return {
    metadata: {
      name,
      labels: { "app.kubernetes.io/managed-by": "crpe", "app.kubernetes.io/component": component },
      annotations: {},
    },
    type: SECRET_TYPE,
    data: part === undefined ? {} : { [CONTENT_KEY]: part.toBase64() },
  };
}

// A label has no "+", and begins and ends with a letter or a digit.
function toLabel(text: string): string {
  return text.replace(/[^-A-Za-z0-9_.]/g, "_").slice(0, MAX_LABEL).replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, "");
}

function isText(value: unknown, max: number): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= max;
}

function isCount(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least;
}

function isContentRef(value: unknown): value is ContentRef {
  return isJsonObject(value) && isDigest(value.digest) && isCount(value.size, 1) && isCount(value.parts, 1);
}
