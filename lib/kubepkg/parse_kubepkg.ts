import * as v from "valibot";
import { type Digest, isDigest } from "../oci/digest.ts";
import { isJsonObject } from "../oci/json.ts";
import { fieldError } from "./field_path.ts";
import { checkImages } from "./images_of.ts";
import { API_VERSION, DNS_NAME, isVersion, type KubePkg, MAX_DNS_NAME } from "./kubepkg.ts";

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
    throw fieldError({ what, path }, isAbsent ? "is missing" : issue.message);
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
