import type { KubeObject, KubePkg } from "../../kubepkg/kubepkg.ts";
import type { PackageObject } from "../../kubepkg/package_objects.ts";
import type { Digest } from "../../oci/digest.ts";
import type { CrpeError } from "../../oci/error.ts";
import type { HandedOver, HandoverPlace, SharedMark } from "./handover_records.ts";
import type { ObjectChanges } from "./plan_objects.ts";

/** What a hand-over, or a removal from the cluster, is asked for. */
export interface HandoverRequest {
  /** The package, for file names and messages. */
  readonly package: KubePkg;
  /** Takes everything of the package out of the cluster, instead of handing it over. */
  readonly isRemoval: boolean;
  /** The record of the last hand-over of the package. */
  readonly before: HandedOver | undefined;
  /** The objects of all other packages. */
  readonly others: readonly PackageObject[];
  /** False if the record of another package cannot be read: then nothing is deleted that it might need. */
  readonly areOthersKnown: boolean;
  /** Absolute paths of the files of all other packages. */
  readonly takenFiles: ReadonlySet<string>;
  /** Overwrites files of others and files that were changed by hand, takes over fields that others manage, and makes the cluster apply equal content again. */
  readonly force: boolean;
  /** Deletes data that left the package. */
  readonly pruneData: boolean;
  /** The name that the package's file has on other servers of the cluster. */
  readonly fileName?: string | undefined;
  /** Makes the file equal to that of another server, instead of deciding what is kept. */
  readonly copy?: { readonly kept: readonly KubeObject[]; readonly revision: number } | undefined;
}

/** What a hand-over will do. */
export interface HandoverPlan {
  readonly request: HandoverRequest;
  /** All objects of the package, in the order of installation; none for a removal. */
  readonly objects: readonly PackageObject[];
  readonly changes: ObjectChanges;
  /** The file that is written, and its new text. */
  readonly file?: { readonly path: string; readonly text: string; readonly digest: Digest };
  /** See `HandedOver`. */
  readonly revision: number;
  /** Why it must not, or cannot, be done. */
  readonly refusal?: CrpeError;
  /**
   * Makes what is planned the newest release in the cluster, before anything of it is done here. If another server was
   * faster, the plan is made again.
   *
   * @returns the plan to follow
   * @throws {RefusedError} when the cluster has a release that this one must not replace
   */
  readonly claim?: () => Promise<HandoverPlan>;
  /** What is recorded of the release in the cluster when the plan was followed. */
  readonly shared?: SharedMark | undefined;
}

/** The result of handing a package over, or of removing it from the cluster. */
export interface HandoverResult {
  /** The file, or the tool, that received the manifests; text for users. */
  readonly where: string;
  /**
   * Whether the cluster was seen to have applied or deleted the objects; false: they were only handed over, or some are not
   * as they should be.
   */
  readonly isConfirmed: boolean;
  /** Objects, as `kind/namespace/name`, that were to be deleted and were seen in the cluster afterwards. */
  readonly remaining?: readonly string[];
  /** Why the cluster did not do it, in its own words. */
  readonly failure?: string;
  /** What happened to the place of the previous hand-over, if it was another one; one sentence. */
  readonly note?: string;
}

/** How the manifests of a package get into the cluster. The caller holds the installation lock, so calls never overlap. */
export interface Handover {
  /** Returns where packages are handed over to. The place has to exist. */
  place(): Promise<HandoverPlace>;
  /**
   * Checks that a package can be handed over, before any of its content is written.
   *
   * @throws {Error} when it cannot; the message says why
   */
  prepare(): Promise<void>;
  /** Decides what a hand-over or a removal does, and whether it may; writes nothing. */
  plan(request: HandoverRequest): Promise<HandoverPlan>;
  /** Reports whether exactly what `plan` would hand over is handed over already. */
  isHandedOver(plan: HandoverPlan): Promise<boolean>;
  /** Does what a plan says. After an interruption it can be planned and applied again. */
  apply(plan: HandoverPlan): Promise<HandoverResult>;
}
