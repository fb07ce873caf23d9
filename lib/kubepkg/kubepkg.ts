import * as v from "valibot";
// @ts-types="../std/semver.d.ts"
import { tryParse } from "@std/semver";
import { type Digest, isDigest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { isJsonObject } from "../oci/json.ts";
import { formatReference, parseReference, type Reference } from "../oci/reference.ts";
import { type FieldPath, formatField } from "./field_path.ts";

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

/** An image of a KubePkg with its name read. */
export interface PackageImage {
  /** The name as the package spells it. */
  readonly name: string;
  /** Without its digest; `latest` is filled in where the name has neither tag nor digest. */
  readonly reference: Reference;
  /** The digest that the name or the value gives; `undefined`: the tag has to be resolved. */
  readonly digest?: Digest;
}

// RFC 1123 subdomain, as Kubernetes has it for names; it becomes a file's name.
const DNS_LABEL = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?";
const DNS_NAME = new RegExp(`^${DNS_LABEL}(?:\\.${DNS_LABEL})*$`);
const MAX_DNS_NAME = 253;

// What may be absent, and therefore null.
const NULLABLE: Readonly<Record<string, readonly string[]>> = {
  metadata: ["namespace", "labels", "annotations"],
  spec: ["images", "manifests"],
  status: ["tgzDigest", "digests", "omitted", "part"],
};

const INHERITED_KEYS = ["__proto__", "constructor", "prototype"];

const text = () => v.string("must be text");
const filledText = () => v.pipe(text(), v.minLength(1, "must not be empty"));
// valibot takes a list for an object, and a record's key that every object has a property of it passes over unseen.
const plainObject = (message: string) => v.custom<Record<string, unknown>>(isJsonObject, message);
const record = <T extends v.GenericSchema>(value: T, message = "must be an object") =>
  v.pipe(
    plainObject(message),
    v.check((it) => !INHERITED_KEYS.some((key) => Object.hasOwn(it, key)), `must not use ${INHERITED_KEYS.join(", ")}`),
    v.record(v.string(), value),
  );
const object = <T extends v.ObjectEntries>(entries: T) =>
  v.pipe(plainObject("must be an object"), v.looseObject(entries));
const dnsName = (length: number, example: string) =>
  v.pipe(
    text(),
    v.check(
      (name) => name.length <= length && DNS_NAME.test(name),
      `must be lower-case letters, digits, "-" and ".", like ${example}`,
    ),
  );

const KubeObjectSchema = object({ apiVersion: filledText(), kind: filledText() });

const sizeNumber = (least = 0) =>
  v.pipe(v.number("must be a number"), v.safeInteger("must be a size"), v.minValue(least, "must be a size"));
// The numbers of those that are missing are listed: a small file must not ask for billions.
const MAX_PARTS = 10_000;
const partNumber = () =>
  v.pipe(
    v.number("must be a number"),
    v.safeInteger("must count parts"),
    v.minValue(1, "must count parts"),
    v.maxValue(MAX_PARTS, `must be at most ${MAX_PARTS}`),
  );
const digest = () => v.custom<Digest>(isDigest, "must be sha256:<64 hex> or sha512:<128 hex>");

const StatusDigestSchema = object({
  type: v.picklist(["manifest", "blob"], 'must be "manifest" or "blob"'),
  name: text(),
  digest: digest(),
  size: sizeNumber(),
  tag: v.optional(text()),
  platform: v.optional(text()),
});

const PartContentSchema = v.pipe(
  object({ digest: digest(), start: v.optional(sizeNumber()), length: v.optional(sizeNumber(1)) }),
  v.check(({ start, length }) => (start === undefined) === (length === undefined), "needs both start and length"),
);

const PackagePartSchema = v.pipe(
  object({
    id: digest(),
    number: partNumber(),
    count: partNumber(),
    carries: v.array(PartContentSchema, "must be a list"),
  }),
  v.check(({ number, count }) => number <= count, "has a number above its count"),
);

const KubePkgSchema = object({
  apiVersion: v.literal(API_VERSION, `must be ${API_VERSION}`),
  kind: v.literal("KubePkg", "must be KubePkg"),
  metadata: object({
    name: dnsName(MAX_DNS_NAME, "web or web.shop"),
    // Empty is what a Go program writes for "not given".
    namespace: v.optional(v.union([v.literal(""), dnsName(63, "default")], 'must be a name like "default"')),
    labels: v.optional(record(text())),
    annotations: v.optional(record(text())),
  }),
  spec: object({
    version: v.pipe(text(), v.check(isVersion, "must be a semantic version, like 1.2.3")),
    images: v.optional(record(
      v.custom<Digest | "">(
        (value) => value === "" || isDigest(value),
        'must be "" or a digest (sha256:<64 hex> or sha512:<128 hex>)',
      ),
      "must be an object: image → digest",
    )),
    manifests: v.optional(record(KubeObjectSchema, "must be an object: name → Kubernetes object")),
  }),
  status: v.optional(object({
    tgzDigest: v.optional(text()),
    digests: v.optional(v.array(StatusDigestSchema, "must be a list")),
    omitted: v.optional(v.array(v.custom<Digest>(isDigest, "must be a digest"), "must be a list")),
    part: v.optional(PackagePartSchema),
  })),
});

/**
 * Checks that a value is a KubePkg. What it does not know it keeps; `metadata.namespace`, `spec.images` and
 * `spec.manifests` are filled in where they are missing. A field of ours that is `null` counts as missing: so Go programs
 * write an empty map or list.
 *
 * @param what names the document in the error
 * @throws {CorruptError} that names the first field which is wrong
 */
export function parseKubePkg(value: unknown, what = "the KubePkg"): KubePkg {
  const document = withoutNulls(value);
  const result = v.safeParse(KubePkgSchema, document, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    const path = (issue.path ?? []).map((item) => item.key as string | number);
    // valibot tells a field that is not there by the key's own issue, which has its own wording.
    const isAbsent = path.length > 0 && issue.received === "undefined";
    throw fieldError(what, path, isAbsent ? "is missing" : issue.message);
  }
  // The input itself rather than what the schema gives back: its fields stay in their order.
  const input = document as KubePkg;
  const kubepkg: KubePkg = {
    ...input,
    metadata: { ...input.metadata, namespace: input.metadata.namespace || "default" },
    spec: { ...input.spec, images: input.spec.images ?? {}, manifests: input.spec.manifests ?? {} },
  };
  checkImages(kubepkg, what);
  return kubepkg;
}

/**
 * The images of a package, sorted by reference, each once.
 *
 * @throws {CorruptError} for a name that is none, or two names of one image that disagree on its digest
 */
export function imagesOf(kubepkg: KubePkg): PackageImage[] {
  return checkImages(kubepkg, "the KubePkg");
}

/** Fills in the digests of images, by the names that the package has for them. */
export function withImageDigests(kubepkg: KubePkg, digestOf: (image: PackageImage) => Digest): KubePkg {
  const digests = new Map(imagesOf(kubepkg).map((image) => [formatReference(image.reference), digestOf(image)]));
  const images = Object.fromEntries(
    Object.keys(kubepkg.spec.images).map((name) => {
      return [name, digests.get(formatReference(referenceOf(name))) ?? ("" as const)];
    }),
  );
  return { ...kubepkg, spec: { ...kubepkg.spec, images } };
}

/** Tells whether `text` is a semantic version, with or without a leading `v`. */
export function isVersion(text: string): boolean {
  return text === text.trim() && tryParse(text) !== undefined;
}

/** Tells whether `text` can be the name of a package: nothing else gets into the path of a file. */
export function isPackageName(text: string): boolean {
  return text.length <= MAX_DNS_NAME && DNS_NAME.test(text);
}

// Below `value` only what is changed is copied.
function withoutNulls(value: unknown): unknown {
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([key, inner]) => !(inner === null && key === "status")).map(([key, inner]) => {
      const names = NULLABLE[key];
      if (names === undefined || !isJsonObject(inner)) return [key, inner];
      return [
        key,
        Object.fromEntries(Object.entries(inner).filter(([name, it]) => it !== null || !names.includes(name))),
      ];
    }),
  );
}

function checkImages(kubepkg: KubePkg, what: string): PackageImage[] {
  const found = new Map<string, PackageImage>();
  for (const [name, value] of Object.entries(kubepkg.spec.images)) {
    const path = ["spec", "images", name];
    const image = readImage(name, value, (reason, cause) => fieldError(what, path, reason, cause));
    const key = formatReference(image.reference);
    const other = found.get(key);
    if (other?.digest !== undefined && image.digest !== undefined && other.digest !== image.digest) {
      throw fieldError(what, path, `is the same image as ${JSON.stringify(other.name)}, with another digest`);
    }
    if (other === undefined || other.digest === undefined) found.set(key, image);
  }
  return [...found].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0).map(([, image]) => image);
}

function readImage(
  name: string,
  value: Digest | "",
  fail: (reason: string, cause?: unknown) => CorruptError,
): PackageImage {
  let parsed: Reference;
  try {
    parsed = parseReference(name);
  } catch (cause) {
    throw fail(cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (parsed.digest !== undefined && value !== "" && parsed.digest !== value) {
    throw fail(`the name has digest ${parsed.digest}, the value is ${value}`);
  }
  const digest = parsed.digest ?? (value === "" ? undefined : value);
  return { name, reference: referenceOf(name), ...(digest === undefined ? {} : { digest }) };
}

// What tells two images apart. A tag wins over a digest in the name; one by digest alone is known by its digest.
function referenceOf(name: string): Reference {
  const { host, path, tag, digest } = parseReference(name);
  if (tag !== undefined) return { host, path, tag };
  return digest === undefined ? { host, path, tag: "latest" } : { host, path, digest };
}

function fieldError(what: string, path: FieldPath, reason: string, cause?: unknown): CorruptError {
  const field = formatField(path);
  return new CorruptError(`Cannot use ${what}: ${field === "" ? "it" : `${field}:`} ${reason}`, { cause });
}
