import type { PackageObject } from "../../kubepkg/package_objects.ts";
import { type Digest, splitDigest } from "../../oci/digest.ts";
import { isJsonObject } from "../../oci/json.ts";
import type { KubectlCluster } from "./kubectl_cluster.ts";
import { stemOf } from "./manifest_folder.ts";

/** What k3s did with a manifest file. */
export type AddonState =
  /** k3s has applied exactly this content. */
  | { readonly state: "applied" }
  /** k3s tried to apply this content, or an earlier one, and failed; `reason` is its event's message. */
  | { readonly state: "failed"; readonly reason: string }
  /** k3s has not read this content yet. */
  | { readonly state: "pending" };

/** A manifest file, by its content. */
export interface ManifestFileRef {
  readonly path: string;
  readonly digest: Digest;
}

const NAMESPACE = "kube-system";

/**
 * The Addon objects by which the deploy controller of k3s records what it did with the files of its manifest folder. An
 * Addon has the name of the file up to the first dot, the SHA-256 checksum of the content that was applied last, and events
 * `ApplyingManifest`, `AppliedManifest` and `ApplyManifestFailed`.
 */
export class K3sAddons {
  readonly #cluster: KubectlCluster;

  constructor(cluster: KubectlCluster) {
    this.#cluster = cluster;
  }

  /** What k3s did with a file; `undefined`: kubectl does not reach a k3s cluster that reads this file. */
  async readState({ path, digest }: ManifestFileRef): Promise<AddonState | undefined> {
    const stem = stemOf(path.slice(path.lastIndexOf("/") + 1));
    const addon = await this.#cluster.readJson(["get", "addons.k3s.cattle.io", stem, "-n", NAMESPACE]);
    const spec = isJsonObject(addon?.spec) ? addon.spec : {};
    // Another cluster than the one that reads this folder may have an Addon of that name.
    if (typeof spec.source !== "string" || nameOf(spec.source) !== nameOf(path)) return undefined;
    if (spec.checksum === splitDigest(digest).hex) return { state: "applied" };
    const selector = `involvedObject.kind=Addon,involvedObject.name=${stem}`;
    const events = await this.#cluster.readJson(["get", "events", "-n", NAMESPACE, "--field-selector", selector]);
    const last = latestOf(Array.isArray(events?.items) ? events.items.filter(isJsonObject) : []);
    if (last?.reason !== "ApplyManifestFailed") return { state: "pending" };
    return { state: "failed", reason: typeof last.message === "string" ? last.message : "k3s gives no reason" };
  }

  /**
   * Lists the objects that are still in the cluster after k3s applied a file that no longer has them.
   *
   * @returns `undefined` while k3s is not seen to have applied this content
   */
  async listRemaining(
    file: ManifestFileRef,
    objects: readonly PackageObject[],
  ): Promise<readonly PackageObject[] | undefined> {
    const state = await this.readState(file);
    return state?.state === "applied" ? await this.#cluster.listPresent(objects) : undefined;
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function latestOf(events: readonly Record<string, unknown>[]): Record<string, unknown> | undefined {
  const timeOf = ({ lastTimestamp, eventTime, metadata }: Record<string, unknown>) =>
    String(lastTimestamp ?? eventTime ?? (isJsonObject(metadata) ? metadata.creationTimestamp : ""));
  return [...events].sort((a, b) => timeOf(a) < timeOf(b) ? -1 : 1).at(-1);
}
