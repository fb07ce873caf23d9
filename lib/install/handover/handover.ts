import type { KubePkg } from "../../kubepkg/kubepkg.ts";

/** A place that packages are handed over to, so that it can be found again. */
export type HandoverPlace = { readonly manifestsDir: string } | { readonly kubectl: true };

/** What handing a package over, or taking it back, did. */
export interface HandoverResult {
  /** The file, or who was given the manifests: for a person to read. */
  readonly where: string;
  /** Objects, as `kind/namespace/name`, that are no longer the package's but were left in the cluster. */
  readonly left: readonly string[];
  /** What became of the place where the package was before, if it was elsewhere: one sentence. */
  readonly note?: string;
}

/** How the manifests of a package get into the cluster. One at a time: whoever calls holds the lock of the installer. */
export interface Handover {
  /** Where packages are handed over to; not known before the place is there. */
  place(): Promise<HandoverPlace>;
  /** Sees to it, before anything of a package is written, that it can be handed over. @throws {Error} when not, and why */
  prepare(): Promise<void>;
  /** Tells whether a package's manifests are handed over, exactly as they are. */
  isHandedOver(kubepkg: KubePkg): Promise<boolean>;
  /**
   * Hands a package over; what was cut off can be done again.
   *
   * @param previous what was handed over before: its objects that the package no longer has go
   */
  handOver(kubepkg: KubePkg, previous: KubePkg | undefined): Promise<HandoverResult>;
  /** Takes the objects of a package out of the cluster; what was cut off can be done again. */
  remove(kubepkg: KubePkg): Promise<HandoverResult>;
}
