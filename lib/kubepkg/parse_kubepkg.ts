import * as v from "valibot";
import { type Digest, DIGEST_FORM, isDigest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { isJsonObject } from "../oci/json.ts";
import { type FieldError, fieldError } from "./field_path.ts";
import { expandGroups, flattenObjects } from "./flatten_objects.ts";
import { checkImages, findWrongImages } from "./images_of.ts";
import { API_VERSION, DNS_NAME, isVersion, type KubePkg, MAX_DNS_NAME } from "./kubepkg.ts";
import { refuseLaterGeneration } from "./refuse_later_generation.ts";

/** `kind` of a document that holds several KubePkgs in `items`. */
export const LIST_KIND = "KubePkgList";
/** Largest number of KubePkgs in a KubePkgList. */
const MAX_ITEMS = 1000;

// Fields that may be absent, and therefore null.
const NULLABLE: Readonly<Record<string, readonly string[]>> = {
  metadata: ["namespace", "labels", "annotations"],
  spec: ["images", "manifests"],
  status: ["tgzDigest", "digests", "omitted", "deltas", "part"],
};

const INHERITED_KEYS = ["__proto__", "constructor", "prototype"];

const text = () => v.string("must be text");
// valibot accepts an array as an object, and skips keys of a record that name a property of every object.
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

const sizeNumber = (least = 0) =>
  v.pipe(v.number("must be a number"), v.safeInteger("must be a size"), v.minValue(least, "must be a size"));
// Missing parts are listed by number: a small file must not ask for billions of them.
const MAX_PARTS = 10_000;
const partNumber = () =>
  v.pipe(
    v.number("must be a number"),
    v.safeInteger("must count parts"),
    v.minValue(1, "must count parts"),
    v.maxValue(MAX_PARTS, `must be at most ${MAX_PARTS}`),
  );
const digest = () => v.custom<Digest>(isDigest, `must be ${DIGEST_FORM}`);

const StatusDigestSchema = object({
  type: v.picklist(["manifest", "blob"], 'must be "manifest" or "blob"'),
  name: text(),
  digest: digest(),
  size: sizeNumber(),
  tag: v.optional(text()),
  platform: v.optional(text()),
  subject: v.optional(digest()),
});

const StatusDeltaSchema = object({
  digest: digest(),
  delta: digest(),
  size: sizeNumber(1),
  bases: v.array(object({ digest: digest(), size: sizeNumber() }), "must be a list"),
  plainSize: sizeNumber(),
  model: text(),
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
    // A Go program writes an empty text for a namespace that is not given.
    namespace: v.optional(v.union([v.literal(""), dnsName(63, "default")], 'must be a name like "default"')),
    labels: v.optional(record(text())),
    annotations: v.optional(record(text())),
  }),
  spec: object({
    version: v.pipe(text(), v.check(isVersion, "must be a semantic version, like 1.2.3")),
    images: v.optional(record(
      v.custom<Digest | "">(
        (value) => value === "" || isDigest(value),
        `must be "" or a digest (${DIGEST_FORM})`,
      ),
      "must be an object: image → digest",
    )),
    manifests: v.optional(record(v.unknown(), "must be an object: name → Kubernetes object")),
  }),
  status: v.optional(object({
    tgzDigest: v.optional(text()),
    digests: v.optional(v.array(StatusDigestSchema, "must be a list")),
    omitted: v.optional(v.array(v.custom<Digest>(isDigest, "must be a digest"), "must be a list")),
    deltas: v.optional(v.array(StatusDeltaSchema, "must be a list")),
    part: v.optional(PackagePartSchema),
  })),
});

/**
 * Checks that a value is a KubePkg. Fields that are not known are kept. `metadata.namespace`, `spec.images` and
 * `spec.manifests` are filled in where they are missing; a known field that is `null` counts as missing, since Go programs
 * write an empty map or list in that way. What the earlier generation writes is converted: `status.images` to
 * `spec.images`, groups of manifests to single entries, manifests that are null to none.
 *
 * A KubePkgList of one item is read as that item.
 *
 * @param what names the document in the error
 * @throws {CorruptError} that names the first field which is wrong
 */
export function parseKubePkg(value: unknown, what = "the KubePkg"): KubePkg {
  const packages = parseKubePkgs(value, what);
  if (packages.length === 1) return packages[0]!;
  const names = packages.slice(0, 10).map(({ metadata }) => metadata.name).join(", ");
  throw new CorruptError(cannot(`use ${what}`, `it holds ${packages.length} packages (${names}), one is expected`));
}

/**
 * Reads a KubePkg, or the items of a KubePkgList.
 *
 * @param what names the document in errors
 * @throws {CorruptError} as `parseKubePkg`, and for a list that is empty or too long
 */
export function parseKubePkgs(value: unknown, what = "the KubePkg"): KubePkg[] {
  if (!isJsonObject(value) || value.kind !== LIST_KIND) return [parseOne(value, what)];
  if (value.apiVersion !== API_VERSION) throw fieldError({ what, path: ["apiVersion"] }, `must be ${API_VERSION}`);
  const { items } = value;
  if (!Array.isArray(items) || items.length === 0) {
    throw fieldError({ what, path: ["items"] }, "must be a list of KubePkgs");
  }
  if (items.length > MAX_ITEMS) {
    throw fieldError({ what, path: ["items"] }, `has ${items.length} packages, ${MAX_ITEMS} are allowed`);
  }
  return items.map((item, i) => {
    const typed = isJsonObject(item) ? { apiVersion: API_VERSION, kind: "KubePkg", ...item } : item;
    return parseOne(typed, items.length === 1 ? what : `${what}, items[${i}]`);
  });
}

function parseOne(value: unknown, what: string): KubePkg {
  const document = withoutNulls(value);
  if (isJsonObject(document)) refuseLaterGeneration(document.spec, what);
  const [error] = findSchemaErrors(document, what, { abortEarly: true });
  if (error !== undefined) throw error;
  // The input itself, not the output of the schema: its fields keep their order.
  const input = document as KubePkg;
  const kubepkg: KubePkg = {
    ...input,
    metadata: { ...input.metadata, namespace: input.metadata.namespace || "default" },
    spec: {
      ...input.spec,
      images: readImages(input),
      manifests: expandGroups(input.spec.manifests ?? {}, what),
    },
  };
  checkImages(kubepkg, what);
  return kubepkg;
}

/**
 * Finds what is wrong with one KubePkg: every field that the schema refuses, every image, and the first wrong field of each
 * manifest.
 *
 * @param what names the document in the errors
 */
export function findKubePkgErrors(value: unknown, what = "the KubePkg"): CorruptError[] {
  const document = withoutNulls(value);
  const refused = findSchemaErrors(document, what, {});
  const errors: CorruptError[] = [...refused];
  // What the schema refuses as a whole cannot be looked into.
  const isSound = (...field: string[]) =>
    !refused.some(({ path }) => path.length <= field.length && path.every((key, i) => key === field[i]));
  if (isSound("spec", "images")) {
    const images = Object.entries(readImages(document as KubePkg));
    // A value that is no digest was named already.
    const named = images.map(([name, digest]) => [name, isDigest(digest) ? digest : ""] as const);
    errors.push(...findWrongImages(Object.fromEntries(named), what));
  }
  if (isSound("spec", "manifests")) {
    for (const [key, manifest] of Object.entries((document as KubePkg).spec.manifests ?? {})) {
      collectError(errors, () => flattenObjects({ [key]: manifest }, what));
    }
  }
  // What is wrong with all of them together, and what has no field.
  if (errors.length === 0) collectError(errors, () => parseOne(value, what));
  return errors;
}

function collectError(errors: CorruptError[], check: () => unknown): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    errors.push(error);
  }
}

function findSchemaErrors(document: unknown, what: string, config: { abortEarly?: boolean }): FieldError[] {
  const { issues = [] } = v.safeParse(KubePkgSchema, document, config);
  return issues.map((issue) => {
    const path = (issue.path ?? []).map((item) => item.key as string | number);
    // valibot reports a missing field by an issue of its key, which has a wording of its own.
    const isAbsent = path.length > 0 && issue.received === "undefined";
    return fieldError({ what, path }, isAbsent ? "is missing" : issue.message);
  });
}

// The earlier generation lists the images in the status, where the spec has none.
function readImages({ spec, status }: KubePkg): KubePkg["spec"]["images"] {
  if (spec.images !== undefined && Object.keys(spec.images).length > 0) return spec.images;
  const images = status?.images;
  if (!isJsonObject(images)) return spec.images ?? {};
  return Object.fromEntries(Object.entries(images).map(([name, digest]) => [name, isDigest(digest) ? digest : ""]));
}

// Copies only the two upper levels, which may change.
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
