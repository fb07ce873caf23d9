// @ts-types="../std/semver.d.ts"
import { compare, parse } from "@std/semver";
import { isJsonObject } from "../oci/json.ts";
import { formatReference } from "../oci/reference.ts";
import { imagesOf } from "./images_of.ts";
import type { KubePkg } from "./kubepkg.ts";

/**
 * How a candidate stands to what is installed: `install` (nothing is), `upgrade` (a higher version), `same` (nothing
 * to do), `changed` (the same version with other content), `downgrade`.
 */
export type Verdict = "install" | "upgrade" | "same" | "changed" | "downgrade";

/** The outcome of comparing a candidate with what is installed. */
export interface ReleaseComparison {
  readonly verdict: Verdict;
  /** What is installed. */
  readonly installedVersion?: string;
  readonly candidateVersion: string;
  /** Whether it takes force to install the candidate. */
  readonly needsForce: boolean;
}

/**
 * Compares versions by semver's precedence (semver.org, 11), where build metadata does not count, and content where
 * the versions are equal.
 */
export function compareRelease(installed: KubePkg | undefined, candidate: KubePkg): ReleaseComparison {
  const candidateVersion = candidate.spec.version;
  if (installed === undefined) return { verdict: "install", candidateVersion, needsForce: false };
  const verdict = judge(installed, candidate);
  return {
    verdict,
    installedVersion: installed.spec.version,
    candidateVersion,
    needsForce: verdict === "changed" || verdict === "downgrade",
  };
}

/**
 * A text that is the same for two packages exactly if they install the same: metadata and spec, whatever the order of
 * their fields and the spelling of image names; not the status.
 */
export function identityOf(kubepkg: KubePkg): string {
  const images = Object.fromEntries(
    imagesOf(kubepkg).map(({ reference, digest }) => [formatReference(reference), digest ?? ""]),
  );
  return formatCanonicalJson({ metadata: kubepkg.metadata, spec: { ...kubepkg.spec, images } });
}

/** JSON with the keys of every object in order, so that equal values give equal texts. */
export function formatCanonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner) => {
    if (!isJsonObject(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0));
  });
}

function judge(installed: KubePkg, candidate: KubePkg): Verdict {
  const order = compare(parse(candidate.spec.version), parse(installed.spec.version));
  if (order !== 0) return order > 0 ? "upgrade" : "downgrade";
  return identityOf(candidate) === identityOf(installed) ? "same" : "changed";
}
