/** Reads the entries of a policy: a file of public keys (PEM), or a YAML or JSON document with a list of entries. */
import * as v from "valibot";
import { parsePublicKey, type PublicKey, splitPem } from "./keys.ts";
import type { TrustEntry } from "./trust_policy.ts";
import { cannot, UsageError } from "../oci/error.ts";

const TEXTS = "must be a text or a list of texts";
const THRESHOLD = "must be a whole number from 1 to 32";
const Texts = v.union([v.pipe(v.string(), v.transform((text) => [text])), v.array(v.string())], TEXTS);
const listOf = (most: number) =>
  v.pipe(Texts, v.minLength(1, "must not be empty"), v.maxLength(most, `must not have more than ${most}`));
const Entry = v.strictObject({
  name: v.optional(v.pipe(v.string("must be a text"), v.regex(/^.{1,100}$/s, "must have 1 to 100 characters"))),
  /** Paths of PEM files, or PEM texts. */
  keys: listOf(32),
  packages: v.optional(listOf(1000)),
  threshold: v.optional(
    v.pipe(v.number(THRESHOLD), v.integer(THRESHOLD), v.minValue(1, THRESHOLD), v.maxValue(32, THRESHOLD)),
    1,
  ),
  "not-after": v.optional(v.union([v.string(), v.date()], "must be a date, such as 2027-12-31")),
}, "must be an entry with keys, and have no other fields");
const Entries = v.pipe(v.array(Entry), v.minLength(1), v.maxLength(1000));
const DAY = /^\d{4}-\d{2}-\d{2}$/;
/** The most bytes of a file with trusted keys. */
export const MAX_TRUST_FILE = 65_536;

/**
 * Parses a file of public keys: one entry for each, for all packages.
 *
 * @param what names the file in errors
 * @throws {UsageError} when it has no key, something else, or a key that cannot be used
 */
export function parseTrustedPem(text: string, what: string): TrustEntry[] {
  const blocks = splitPem(text);
  if (blocks.length === 0) throw new UsageError(cannot(`read ${what}`, "it has no public key (PEM)"));
  return blocks.map((block) => ({ name: what, keys: [parsePublicKey(block.text, what)], threshold: 1 }));
}

/**
 * Parses a list of entries, as it is in a document or in the configuration.
 *
 * @param options.what names the document in errors
 * @param options.readKey returns the text of a key file that an entry names
 * @throws {UsageError} when a field is wrong; it names the field
 */
export async function parseTrustEntries(
  document: unknown,
  { what, readKey }: { readonly what: string; readonly readKey: (path: string) => Promise<string> },
): Promise<TrustEntry[]> {
  const result = v.safeParse(Entries, document);
  if (!result.success) {
    const [{ path, message }] = result.issues;
    const field = path?.map(({ key }) => String(key).slice(0, 40)).join(".") ?? "";
    throw new UsageError(
      cannot(`use ${what}`, field === "" ? "it must be a list of entries with keys" : `${field}: ${message}`),
    );
  }
  return await Promise.all(result.output.map(async (entry, i) => {
    const { name = `entry ${i + 1} of ${what}`, packages, threshold } = entry;
    const keys = new Map<string, PublicKey>();
    for (const text of entry.keys) {
      const isPem = text.includes("-----BEGIN");
      const pem = isPem ? text : await readKey(text);
      for (const key of parseTrustedPem(pem, isPem ? `a key of ${name}` : text).flatMap(({ keys }) => keys)) {
        keys.set(key.id, key);
      }
    }
    if (keys.size < threshold) {
      throw new UsageError(cannot(`use ${what}`, `${name} requires ${threshold} signatures and has ${keys.size} keys`));
    }
    const notAfter = entry["not-after"];
    return {
      name,
      keys: [...keys.values()],
      packages,
      threshold,
      notAfter: notAfter === undefined ? undefined : parseEnd(notAfter, `${name} of ${what}`),
    };
  }));
}

// A day ends with its last second, in UTC.
function parseEnd(text: string | Date, what: string): Date {
  const date = text instanceof Date ? text : new Date(DAY.test(text) ? `${text}T23:59:59Z` : text);
  if (Number.isNaN(date.getTime())) {
    throw new UsageError(cannot(`use ${what}`, "not-after must be a date, such as 2027-12-31"));
  }
  const isMidnight = text instanceof Date && date.getTime() % 86_400_000 === 0;
  return isMidnight ? new Date(date.getTime() + 86_399_000) : date;
}
