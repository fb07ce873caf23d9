import { computeDigest, type Digest } from "../oci/digest.ts";
import { isJsonObject } from "../oci/json.ts";
import { formatReference } from "../oci/reference.ts";
import { compareVersions } from "./compare_versions.ts";
import { imagesOf } from "./images_of.ts";
import type { KubePkg } from "./kubepkg.ts";

/**
 * How a candidate relates to the installed release: `install` (none is installed), `upgrade` (a higher version), `same`
 * (nothing to do), `changed` (the same version with other content), `downgrade`.
 */
export type Verdict = "install" | "upgrade" | "same" | "changed" | "downgrade";

/** The outcome of comparing a candidate with the installed release. */
export interface ReleaseComparison {
  readonly verdict: Verdict;
  /** Absent where no release is installed. */
  readonly installedVersion?: string;
}

/**
 * Compares versions as `compareVersions` does, and content where the versions are equal: `1.22.2+k0s.2` is an upgrade of
 * `1.22.2+k0s.1`. `1.22.2` and `1.22.2+k0s.1` are equal: `same` with equal content, `changed` with other content.
 */
export function compareRelease(installed: KubePkg | undefined, candidate: KubePkg): ReleaseComparison {
  if (installed === undefined) return { verdict: "install" };
  return { verdict: decide(installed, candidate), installedVersion: installed.spec.version };
}

/**
 * A text that is equal for two packages exactly if they install the same: metadata and spec, whatever the order of their
 * fields and the spelling of image names. The status does not count.
 */
export function identityOf(kubepkg: KubePkg): string {
  const images = Object.fromEntries(
    imagesOf(kubepkg).map(({ reference, digest }) => [formatReference(reference), digest ?? ""]),
  );
  return formatCanonicalJson({ metadata: kubepkg.metadata, spec: { ...kubepkg.spec, images } });
}

/** The digest of `identityOf`: a short name for what a package installs. */
export function digestOfIdentity(kubepkg: KubePkg): Digest {
  return computeDigest(identityOf(kubepkg));
}

/** JSON with the keys of every object sorted, so that equal values give equal texts. */
export function formatCanonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner) => {
    if (!isJsonObject(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0));
  });
}

function decide(installed: KubePkg, candidate: KubePkg): Verdict {
  const order = compareVersions(candidate.spec.version, installed.spec.version);
  if (order !== 0) return order > 0 ? "upgrade" : "downgrade";
  return contentOf(candidate) === contentOf(installed) ? "same" : "changed";
}

// Equal versions may be spelled differently: with a leading `v`, or with build metadata on one side only.
function contentOf(kubepkg: KubePkg): string {
  return identityOf({ ...kubepkg, spec: { ...kubepkg.spec, version: "0.0.0" } });
}
