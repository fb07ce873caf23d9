// @ts-types="../std/semver.d.ts"
import { tryParse } from "@std/semver";
import type { Digest } from "../oci/digest.ts";

/** `apiVersion` of a KubePkg. */
export const API_VERSION = "octohelm.tech/v1alpha1";

/** The annotation that records the packed platforms: `linux/arm64,linux/amd64`. */
export const PLATFORMS_ANNOTATION = "octohelm.tech/platforms";

/** A Kubernetes object. */
export type KubeObject = { readonly apiVersion: string; readonly kind: string; readonly [field: string]: unknown };

/** A blob or manifest that a bundle provides. */
export interface StatusDigest {
  readonly type: "manifest" | "blob";
  /** The repository, with its host: `docker.io/library/nginx`. */
  readonly name: string;
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** Set on the manifest or index that a tag points at. */
  readonly tag?: string;
  /** `os/architecture[/variant]`, set where the content is for one platform only. */
  readonly platform?: string;
  /** Set on the manifest of a referrer, such as a signature or an SBOM: the manifest that it is about. */
  readonly subject?: Digest;
}

/** Content of one part of a package: a whole blob or manifest, or a piece of a blob (`length` bytes from `start`). */
export interface PartContent {
  readonly digest: Digest;
  /** Offset of a piece in its blob, in bytes. Absent, as is `length`, for whole content. */
  readonly start?: number;
  /** Size of a piece in bytes. */
  readonly length?: number;
}

/** Identifies one file of a package that is split over several. */
export interface PackagePart {
  /** The digest of `kubepkg.json` without this field. All parts of a package have the same. */
  readonly id: Digest;
  /** Counts from 1. */
  readonly number: number;
  /** Number of parts. */
  readonly count: number;
  /** In the order of the entries of the file. */
  readonly carries: readonly PartContent[];
}

/** A layer that the bundle carries as a delta, against layers that the site is expected to hold. */
export interface StatusDelta {
  /** The layer that the delta makes; one of `status.digests`. */
  readonly digest: Digest;
  /** Digest and size in bytes of the delta itself. */
  readonly delta: Digest;
  readonly size: number;
  /** The layers that it needs, with their sizes in bytes. */
  readonly bases: readonly { readonly digest: Digest; readonly size: number }[];
  /** The temporary space that the site needs, in bytes: `sizeOfScratch` of its header. */
  readonly plainSize: number;
  /** What the site must know, as an inventory names it, joined by `+`: a compressor model, such as `go6/1`. */
  readonly model: string;
}

/** The fields that packing adds to a KubePkg. */
interface KubePkgStatus {
  readonly tgzDigest?: string;
  readonly digests?: readonly StatusDigest[];
  /** Digests that were left out of the bundle because the site is expected to hold them. */
  readonly omitted?: readonly Digest[];
  /** The layers that the bundle carries as deltas. */
  readonly deltas?: readonly StatusDelta[];
  /** Set if the file is one part of several. */
  readonly part?: PackagePart;
  readonly [field: string]: unknown;
}

/** A release: Kubernetes manifests, and the images that they need. Unknown fields are kept. */
export interface KubePkg {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: "KubePkg";
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly spec: {
    /** A semantic version; a leading `v` is allowed. */
    readonly version: string;
    /** Image name → its digest, or "" to resolve the tag when the package is packed. */
    readonly images: Readonly<Record<string, Digest | "">>;
    readonly manifests: Readonly<Record<string, KubeObject>>;
    readonly [field: string]: unknown;
  };
  readonly status?: KubePkgStatus;
  readonly [field: string]: unknown;
}

// RFC 1123 subdomain, as Kubernetes requires for names. The name of a package becomes a file name.
const DNS_LABEL = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?";
/** Matches a DNS subdomain, as Kubernetes requires for names. */
export const DNS_NAME = new RegExp(`^${DNS_LABEL}(?:\\.${DNS_LABEL})*$`);
/** Maximum length of a DNS name, in characters. */
export const MAX_DNS_NAME = 253;

/** Reports whether `text` is a semantic version, with or without a leading `v`. */
export function isVersion(text: string): boolean {
  return text === text.trim() && tryParse(text) !== undefined;
}

/** Reports whether `text` is a valid package name, which is safe to use in a file path. */
export function isPackageName(text: string): boolean {
  return text.length <= MAX_DNS_NAME && DNS_NAME.test(text);
}
