import type { KubePkg } from "../../kubepkg/kubepkg.ts";

/** A place that packages are handed over to, as it is recorded. */
export type HandoverPlace = { readonly manifestsDir: string } | { readonly kubectl: true };

/** The result of handing a package over, or of removing it from the cluster. */
export interface HandoverResult {
  /** The file, or the tool, that received the manifests; text for users. */
  readonly where: string;
  /** Objects, as `kind/namespace/name`, that no longer belong to the package but were left in the cluster. */
  readonly left: readonly string[];
  /** What happened to the place of the previous hand-over, if it was another one; one sentence. */
  readonly note?: string;
}

/**
 * How the manifests of a package get into the cluster. The caller holds the installation lock, so calls never overlap.
 */
export interface Handover {
  /** Returns where packages are handed over to. The place has to exist. */
  place(): Promise<HandoverPlace>;
  /**
   * Checks that a package can be handed over, before any of its content is written.
   *
   * @throws {Error} when it cannot; the message says why
   */
  prepare(): Promise<void>;
  /** Reports whether exactly these manifests of a package are handed over. */
  isHandedOver(kubepkg: KubePkg): Promise<boolean>;
  /**
   * Hands a package over. After an interruption the call can be repeated.
   *
   * @param previous the release that was handed over before; its objects that the package no longer has are deleted
   */
  handOver(kubepkg: KubePkg, previous: KubePkg | undefined): Promise<HandoverResult>;
  /** Deletes the objects of a package from the cluster. After an interruption the call can be repeated. */
  remove(kubepkg: KubePkg): Promise<HandoverResult>;
}
