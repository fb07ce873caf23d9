// @ts-types="../std/semver.d.ts"
import { compare, parse } from "@std/semver";
import type { Digest } from "../oci/digest.ts";
import { RefusedError } from "../oci/error.ts";
import type { KubePkg, PackagePart } from "./kubepkg.ts";
import { formatCanonicalJson } from "./version.ts";

/** A package of which something has come, and not yet all: parts of a bundle, or a push. */
export interface PendingPackage {
  /** Without `status.part`. */
  readonly kubepkg: KubePkg;
  /** Where it comes in parts. */
  readonly part?: PendingParts;
}

/** Which parts of a bundle have come. */
export interface PendingParts {
  /** The same for all parts of one pack. */
  readonly id: Digest;
  /** How many there are. */
  readonly count: number;
  /** The numbers, from 1, of those that were read to their end; sorted. */
  readonly came: readonly number[];
}

/** A package as all its parts together have it. */
export function withoutPart(kubepkg: KubePkg): KubePkg {
  if (kubepkg.status?.part === undefined) return kubepkg;
  const { part: _, ...status } = kubepkg.status;
  return { ...kubepkg, status };
}

/** The numbers of the parts that have not come. */
export function missingParts({ count, came }: Pick<PendingParts, "count" | "came">): number[] {
  return Array.from({ length: count }, (_, i) => i + 1).filter((number) => !came.includes(number));
}

/**
 * Decides whether a part may come to what is there of its package.
 *
 * @param kubepkg of the part, without `status.part`
 * @param what names the file of the part in errors
 * @returns the parts that have come of the same pack
 * @throws {RefusedError} when other parts, of another pack or a higher version, are there and it is not forced
 */
export function judgePart(
  kubepkg: KubePkg,
  part: PackagePart,
  { pending, force, what }: { pending: PendingPackage | undefined; force?: boolean | undefined; what: string },
): readonly number[] {
  // What a push has brought makes no difference to parts.
  if (pending?.part === undefined) return [];
  const { name } = kubepkg.metadata;
  const [version, other] = [kubepkg.spec.version, pending.kubepkg.spec.version];
  const { id, came } = pending.part;
  const isSame = id === part.id && part.count === pending.part.count &&
    formatCanonicalJson(kubepkg) === formatCanonicalJson(pending.kubepkg);
  if (isSame) return came;
  const order = compare(parse(version), parse(other));
  if (force || order > 0 || came.length === 0) return [];
  const packed = order === 0 ? `, packed as ${id},` : "";
  const there = `${formatParts(came)} of ${name}@${other}${packed} ${came.length === 1 ? "has" : "have"} come`;
  throw new RefusedError(
    order < 0
      ? `Cannot import ${name}@${version}: ${there}, which is higher; --force gives up what came`
      : `Cannot import ${what}: it is part ${part.number} of ${part.count} of another pack of ${name}@${version} ` +
        `(${part.id}); ${there}; bring the parts of one pack, or give up what came with --force`,
  );
}

/** `part 1`, `parts 1, 2 and 4`, `none of the parts`. */
export function formatParts(numbers: readonly number[]): string {
  const [last, ...before] = [...numbers].reverse();
  if (last === undefined) return "none of the parts";
  return before.length === 0 ? `part ${last}` : `parts ${before.reverse().join(", ")} and ${last}`;
}
