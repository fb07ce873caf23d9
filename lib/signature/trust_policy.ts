/**
 * Which signatures make a package trusted at a site. A policy has entries; an entry has keys, and may be limited to names
 * of packages, to a date, and to a number of signatures. A package is trusted if one entry that applies to it has enough
 * valid signatures, each by another key.
 */
import type { Algorithm, PublicKey } from "./keys.ts";
import { verifyDetached } from "./detached_signature.ts";
import type { SignatureLine } from "./signature_lines.ts";

/** An entry of a policy. */
export interface TrustEntry {
  /** Names the entry in errors. */
  readonly name: string;
  readonly keys: readonly PublicKey[];
  /** Names of packages, where `*` stands for any characters; absent: all packages. */
  readonly packages?: readonly string[] | undefined;
  /** How many of the keys must have signed. */
  readonly threshold: number;
  /** The end of the entry. */
  readonly notAfter?: Date | undefined;
}

/** What is known about the origin of a package. */
export interface TrustVerdict {
  /**
   * `trusted`: an entry of the policy has enough signatures. `signed` and `unsigned`: there is no policy, so that nothing
   * was verified.
   */
  readonly state: "trusted" | "signed" | "unsigned";
  /** The keys whose signatures count; without a policy, the keys that the lines name. */
  readonly keys: readonly { readonly id: string; readonly entry?: string; readonly algorithm?: Algorithm }[];
}

/** A document and its signatures. */
export interface SignedDocument {
  readonly bytes: Uint8Array;
  /** The text of `signatures`, as it is in `kubepkg.json.sig`; absent if the document is not signed. */
  readonly text?: string | undefined;
  readonly signatures: readonly SignatureLine[];
}

/** The package that a policy is asked about. */
interface TrustSubject {
  readonly name: string;
  /** The release's own date, as far as it states one. */
  readonly created?: Date | undefined;
}

/** Describes signatures without a policy. */
export function describeUnverified(signatures: readonly SignatureLine[]): TrustVerdict {
  return {
    state: signatures.length === 0 ? "unsigned" : "signed",
    keys: signatures.map(({ keyId, publicKey }) => ({
      id: keyId,
      algorithm: publicKey?.algorithm,
    })),
  };
}

/** The trusted keys of a site. */
export class TrustPolicy {
  readonly #entries: readonly TrustEntry[];
  readonly #now: () => Date;

  constructor(entries: readonly TrustEntry[], now: () => Date = () => new Date()) {
    this.#entries = entries;
    this.#now = now;
  }

  /** Describes the entries, as the audit log has them. */
  describe(): unknown[] {
    return this.#entries.map(({ name, keys, packages, threshold, notAfter }) => {
      return { name, keys: keys.map(({ id }) => id), packages, threshold, notAfter };
    });
  }

  /** Whether an entry is for packages of this name. */
  isFor(name: string): boolean {
    return this.#entries.some(({ packages }) => matches(packages, name));
  }

  /**
   * Decides whether a package is trusted.
   *
   * @returns the verdict, or the reason for a refusal, which names the keys that would do
   */
  judge({ bytes, signatures }: SignedDocument, subject: TrustSubject): TrustVerdict | string {
    const named = this.#entries.filter(({ packages }) => matches(packages, subject.name));
    if (named.length === 0) return "no trusted key is for packages of this name";
    const date = this.#dateOf(subject);
    const entries = named.filter(({ notAfter }) => notAfter === undefined || date.getTime() <= notAfter.getTime());
    if (entries.length === 0) return `the trusted keys for it have ended: ${named.map(describeEnd).join(", ")}`;
    const wanted = entries.map(describeEntry).join(" or ");
    if (signatures.length === 0) return `it is not signed, and must be by ${wanted}`;
    // A key verifies once, however many entries have it.
    const valid = new Map<string, boolean>();
    const isValid = (key: PublicKey) => {
      const line = signatures.find(({ keyId }) => keyId === key.id);
      if (line === undefined) return false;
      const known = valid.get(key.id) ?? verifyDetached(bytes, line.signature, key);
      valid.set(key.id, known);
      return known;
    };
    for (const { name, keys, threshold } of entries) {
      const good = keys.filter(isValid);
      if (good.length < threshold) continue;
      return { state: "trusted", keys: good.map(({ id, algorithm }) => ({ id, algorithm, entry: name })) };
    }
    const wrong = [...valid].filter(([, isGood]) => !isGood).map(([id]) => id);
    if (wrong.length > 0) return `its signature by key ${wrong.join(", ")} is wrong; it must be signed by ${wanted}`;
    return `it is signed by ${signatures.map(({ keyId }) => keyId).join(", ")}, and must be by ${wanted}`;
  }

  // A clock that is earlier than the release is wrong; a machine without a battery starts in 1970.
  #dateOf({ created }: TrustSubject): Date {
    const now = this.#now();
    return created !== undefined && created.getTime() > now.getTime() ? created : now;
  }
}

function matches(packages: readonly string[] | undefined, name: string): boolean {
  return packages === undefined || packages.some((glob) => matchesGlob(glob, name));
}

// Without a regular expression, whose time a pattern with many stars could blow up.
function matchesGlob(glob: string, name: string): boolean {
  const [first = "", ...rest] = glob.split("*");
  if (rest.length === 0) return glob === name;
  const last = rest.pop()!;
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = name.indexOf(piece, at);
    if (found < 0 || found + piece.length > name.length - last.length) return false;
    at = found + piece.length;
  }
  return true;
}

function describeEntry({ name, keys, threshold }: TrustEntry): string {
  const ids = keys.map(({ id }) => id).join(", ");
  return threshold > 1 ? `${threshold} keys of ${name} (${ids})` : `key ${ids} (${name})`;
}

function describeEnd({ name, notAfter }: TrustEntry): string {
  return `${name} on ${notAfter!.toISOString()}`;
}
