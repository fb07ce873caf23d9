// @ts-types="../std/semver.d.ts"
import { tryParse } from "@std/semver";
import type { Digest } from "../oci/digest.ts";

/** `apiVersion` of a KubePkg. */
export const API_VERSION = "octohelm.tech/v1alpha1";

/** The annotation that records the platforms which were packed: `linux/arm64,linux/amd64`. */
export const PLATFORMS_ANNOTATION = "octohelm.tech/platforms";

/** A Kubernetes object, with whatever fields it has. */
export type KubeObject = { readonly apiVersion: string; readonly kind: string; readonly [field: string]: unknown };

/** One piece of content that a bundle stands for. */
export interface StatusDigest {
  readonly type: "manifest" | "blob";
  /** The repository, with its host: `docker.io/library/nginx`. */
  readonly name: string;
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** On the manifest or index that a tag points at. */
  readonly tag?: string;
  /** `os/architecture[/variant]`, where the content is for one platform alone. */
  readonly platform?: string;
}

/** Content that a part of a package carries: a blob or manifest whole, or `length` bytes of a blob from `start` on. */
export interface PartContent {
  readonly digest: Digest;
  /** Position of a piece in its blob, in bytes; absent, as is `length`, for what is carried whole. */
  readonly start?: number;
  /** Size of a piece in bytes. */
  readonly length?: number;
}

/** Which part a file is of a package that several files carry. */
export interface PackagePart {
  /** The digest of `kubepkg.json` as it would be without this; the parts of one package have it in common. */
  readonly id: Digest;
  /** From 1. */
  readonly number: number;
  /** How many parts there are. */
  readonly count: number;
  /** In the order of the file. */
  readonly carries: readonly PartContent[];
}

/** What packing adds to a KubePkg. */
export interface KubePkgStatus {
  readonly tgzDigest?: string;
  readonly digests?: readonly StatusDigest[];
  /** Those of `digests` that were left out of the bundle, since the site is said to hold them. */
  readonly omitted?: readonly Digest[];
  /** Set where the file is one part of several. */
  readonly part?: PackagePart;
  readonly [field: string]: unknown;
}

/** A release: manifests for Kubernetes, and the images that they need. Fields that are not known are kept. */
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
    /** Semver; a leading `v` is allowed. */
    readonly version: string;
    /** An image's name → the digest it stands for, or "" to resolve it when it is packed. */
    readonly images: Readonly<Record<string, Digest | "">>;
    readonly manifests: Readonly<Record<string, KubeObject>>;
    readonly [field: string]: unknown;
  };
  readonly status?: KubePkgStatus;
  readonly [field: string]: unknown;
}

// RFC 1123 subdomain, as Kubernetes has it for names; it becomes a file's name.
const DNS_LABEL = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?";
/** A DNS subdomain, as Kubernetes has it for names. */
export const DNS_NAME = new RegExp(`^${DNS_LABEL}(?:\\.${DNS_LABEL})*$`);
/** Longest DNS name in characters. */
export const MAX_DNS_NAME = 253;

/** Tells whether `text` is a semantic version, with or without a leading `v`. */
export function isVersion(text: string): boolean {
  return text === text.trim() && tryParse(text) !== undefined;
}

/** Tells whether `text` can be the name of a package: nothing else gets into the path of a file. */
export function isPackageName(text: string): boolean {
  return text.length <= MAX_DNS_NAME && DNS_NAME.test(text);
}
