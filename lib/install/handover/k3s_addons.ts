import type { PackageObject } from "../../kubepkg/package_objects.ts";
import { type Digest, splitDigest } from "../../oci/digest.ts";
import { isJsonObject } from "../../oci/json.ts";
import type { KubectlCluster } from "./kubectl_cluster.ts";
import { baseNameOf, stemOf } from "./manifest_folder.ts";

/** What k3s did with a manifest file. */
type AddonState =
  /** k3s has applied exactly this content. */
  | { readonly state: "applied" }
  /** k3s tried to apply this content and failed, and tries again; `reason` is its event's message. */
  | { readonly state: "failed"; readonly reason: string }
  /** k3s has not applied this content yet. */
  | { readonly state: "pending" };

/** A manifest file, by its content. */
interface ManifestFileRef {
  readonly path: string;
  readonly digest: Digest;
  /** When it was written, if that is known: earlier failures were those of other content. */
  readonly writtenAt?: Date | undefined;
}

const NAMESPACE = "kube-system";
const FAILURES = new Set([
  "ReadManifestFailed",
  "ParseManifestFailed",
  "ValidateManifestFailed",
  "ApplyManifestFailed",
]);

/**
 * The Addon objects by which the deploy controller of k3s records what it did with the files of its manifest folder. An
 * Addon has the name of the file up to the first dot, the SHA-256 checksum of the content that was applied last, and events
 * `ApplyingManifest`, `AppliedManifest` and `ApplyManifestFailed` (k3s: pkg/deploy/controller.go).
 */
export class K3sAddons {
  readonly #cluster: Pick<KubectlCluster, "readJson" | "listPresent">;

  constructor(cluster: Pick<KubectlCluster, "readJson" | "listPresent">) {
    this.#cluster = cluster;
  }

  /** What k3s did with a file; `undefined`: kubectl does not reach a k3s cluster that reads this file. */
  async readState({ path, digest, writtenAt }: ManifestFileRef): Promise<AddonState | undefined> {
    const stem = stemOf(baseNameOf(path));
    const addons = await this.#list("addons.k3s.cattle.io", `metadata.name=${stem}`);
    if (addons === undefined) return undefined;
    const [addon] = addons;
    if (addon === undefined) return { state: "pending" };
    const spec = isJsonObject(addon.spec) ? addon.spec : {};
    // Another cluster than the one that reads this folder may have an Addon of that name. The folder may have another name
    // there, as in a container.
    if (typeof spec.source !== "string" || baseNameOf(spec.source) !== baseNameOf(path)) return undefined;
    const isApplied = spec.checksum === splitDigest(digest).hex;
    const events = await this.#list("events", `involvedObject.kind=Addon,involvedObject.name=${stem}`) ?? [];
    // Without the time, a failure may be one of other content that came before.
    const failure = isApplied && writtenAt === undefined ? undefined : findFailure(events, writtenAt);
    if (failure !== undefined) return { state: "failed", reason: failure };
    return { state: isApplied ? "applied" : "pending" };
  }

  /** Those of the objects that exist; `undefined`: the cluster cannot be asked. */
  async listPresent(objects: readonly PackageObject[]): Promise<readonly PackageObject[] | undefined> {
    return await this.#cluster.listPresent(objects);
  }

  async #list(resource: string, selector: string): Promise<readonly Record<string, unknown>[] | undefined> {
    const list = await this.#cluster.readJson(["get", resource, "-n", NAMESPACE, "--field-selector", selector]);
    return Array.isArray(list?.items) ? list.items.filter(isJsonObject) : undefined;
  }
}

/**
 * The message of the last event, if it is a failure.
 *
 * @param since events before it do not count
 */
function findFailure(events: readonly Record<string, unknown>[], since: Date | undefined): string | undefined {
  // Events have whole seconds.
  const start = since === undefined ? 0 : Math.floor(since.getTime() / 1000) * 1000;
  const results = events
    // Each attempt begins with ApplyingManifest, which tells nothing of its end.
    .filter(({ reason }) => reason === "AppliedManifest" || FAILURES.has(String(reason)))
    .map((event) => ({ event, time: timeOf(event) }))
    .filter(({ time }) => time >= start)
    .sort((a, b) => a.time - b.time);
  const last = results.at(-1)?.event;
  if (last === undefined || last.reason === "AppliedManifest") return undefined;
  return typeof last.message === "string" ? last.message : "k3s gives no reason";
}

function timeOf({ series, lastTimestamp, eventTime, metadata }: Record<string, unknown>): number {
  const times = [
    isJsonObject(series) ? series.lastObservedTime : undefined,
    lastTimestamp,
    eventTime,
    isJsonObject(metadata) ? metadata.creationTimestamp : undefined,
  ];
  return Math.max(0, ...times.map((time) => typeof time === "string" ? Date.parse(time) : NaN).filter((it) => it > 0));
}
