import { compareVersions } from "../../kubepkg/compare_versions.ts";
import type { Digest } from "../../oci/digest.ts";
import type { SharedMark } from "../handover/handover_records.ts";
import type { ClusterRelease } from "./release_secret.ts";

/** What this server has handed over of a package. */
export interface OwnRelease {
  readonly version: string;
  /** The digest of the release's identity (`digestOfIdentity`). */
  readonly identity: Digest;
  /** Its removal began here and is not confirmed yet. */
  readonly isRemoving: boolean;
  /** What is recorded of the cluster's release; `undefined`: this hand-over was never compared with it. */
  readonly shared?: SharedMark | undefined;
}

/** What a server does after it has compared its hand-over with the release in the cluster. */
export type SyncAction =
  | "nothing"
  /** The release of the cluster becomes the file of this server. */
  | "write file"
  /** The file is stale, and the cluster does not have the content of the newer release: it is removed. */
  | "set aside"
  /** The package was removed on another server: the file goes, without being emptied. */
  | "remove file"
  /** The release of this server is the newest. */
  | "publish"
  /** The removal of this server is not known in the cluster. */
  | "publish removal"
  /** Both are the same release; only its generation is recorded. */
  | "adopt";

/** Decides what a server does that compares its hand-over of a package with the newest release in the cluster. */
export function decideSync(own: OwnRelease | undefined, release: ClusterRelease | undefined): SyncAction {
  if (own === undefined) return release?.content === undefined ? "nothing" : "write file";
  if (release === undefined) return own.isRemoving ? "nothing" : "publish";
  const { shared } = own;
  const isCurrent = shared?.generation === release.generation;
  if (own.isRemoving) {
    if (release.state === "removed") return "nothing";
    // A release that came after the removal is a new installation.
    return shared === undefined || release.generation > shared.generation ? follow(own, release) : "publish removal";
  }
  // Changed here while the cluster could not be asked, and not changed elsewhere.
  if (shared?.isUnpublished && isCurrent) return "publish";
  if (release.state === "installed") {
    if (isCurrent && (shared?.isSetAside || own.identity === release.identity)) return "nothing";
    if (own.identity === release.identity) return release.content === undefined ? "adopt" : "write file";
  } else if (isCurrent) return "remove file";
  // Not changed here since this server compared last: whatever the others did counts, also a forced downgrade.
  if (shared !== undefined && !shared.isUnpublished && release.generation > shared.generation) {
    return follow(own, release);
  }
  // Changed on both sides, never compared, or the cluster is another one or was restored: the version decides.
  return compareVersions(own.version, release.version) > 0 ? "publish" : follow(own, release);
}

function follow({ shared }: OwnRelease, { state, content }: ClusterRelease): SyncAction {
  if (state === "removed") return "remove file";
  if (content !== undefined) return "write file";
  return shared?.isSetAside ? "nothing" : "set aside";
}

/** A release that is about to be handed over. */
export interface Candidate {
  readonly version: string;
  readonly identity: Digest;
  /** The digest of its content; see `SharedContent`. */
  readonly digest: Digest;
}

/** How a hand-over is compared with the release in the cluster. */
interface ClaimOptions {
  /** What is recorded of the last hand-over of the package on this server. */
  readonly shared: SharedMark | undefined;
  readonly force: boolean;
}

/**
 * Decides whether a release may be handed over: `adopt` when the cluster has exactly it, `write` when the cluster's record
 * becomes it, `refuse` when the cluster has a release that this server missed, and by the version rule that one is newer.
 */
export function decideClaim(
  candidate: Candidate,
  release: ClusterRelease | undefined,
  { shared, force }: ClaimOptions,
): "adopt" | "write" | "refuse" {
  if (release === undefined || release.state === "removed") return "write";
  if (candidate.identity === release.identity) {
    return release.content === undefined || release.content.digest === candidate.digest ? "adopt" : "write";
  }
  // The rules of this server have decided already if what they compared with is the release of the cluster.
  const isKnown = shared !== undefined && shared.generation === release.generation && !shared.isSynced;
  if (force || isKnown) return "write";
  return compareVersions(candidate.version, release.version) > 0 ? "write" : "refuse";
}
