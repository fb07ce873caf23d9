import { packageObjects } from "../../kubepkg/package_objects.ts";
import type { Handover, HandoverPlace, HandoverPlan, HandoverRequest, HandoverResult } from "./handover.ts";
import { handedOverObjects } from "./handover_records.ts";
import type { KubectlCluster } from "./kubectl_cluster.ts";
import { labelsOf, planObjects } from "./plan_objects.ts";

/**
 * Hands packages over with `kubectl apply --server-side`. kubectl prunes nothing, so objects that left a package are deleted
 * by name, data only with consent.
 */
export class KubectlHandover implements Handover {
  readonly #cluster: KubectlCluster;
  readonly #forceConflicts: boolean;

  /** @param forceConflicts takes over fields that others manage, also where nothing else is forced */
  constructor(cluster: KubectlCluster, { forceConflicts = false } = {}) {
    this.#cluster = cluster;
    this.#forceConflicts = forceConflicts;
  }

  place(): Promise<HandoverPlace> {
    return Promise.resolve({ kubectl: true });
  }

  /** Checks that kubectl is installed and reaches the cluster. @throws {KubectlError} when not */
  async prepare(): Promise<void> {
    await this.#cluster.check("Cannot hand manifests over, nothing was changed");
  }

  async plan(request: HandoverRequest): Promise<HandoverPlan> {
    const { before, others, isRemoval, pruneData } = request;
    const objects = isRemoval ? [] : packageObjects(request.package);
    const options = { before: handedOverObjects(before), after: objects, others, pruneData };
    const occupied = new Set<string>();
    if (pruneData) {
      for (const { identity } of planObjects(options).deleted) {
        if (identity.kind !== "Namespace" || identity.group !== "") continue;
        const foreign = await this.#cluster.listForeign(identity.name, options.before);
        if (foreign === undefined || foreign.length > 0) occupied.add(identity.name);
      }
    }
    const changes = planObjects({ ...options, isOccupied: (namespace) => occupied.has(namespace) });
    return { request, objects, changes, repeats: before?.repeats ?? 0 };
  }

  /** Compares with the cluster. If kubectl fails, the result is false, and the hand-over that follows reports the reason. */
  async isHandedOver({ objects }: HandoverPlan): Promise<boolean> {
    return await this.#cluster.isApplied(objects);
  }

  async apply({ request, objects, changes }: HandoverPlan): Promise<HandoverResult> {
    const { package: { metadata: { name }, spec: { version } }, isRemoval, force } = request;
    const what = `Cannot ${isRemoval ? "remove" : "hand over"} ${name}@${version}`;
    await this.#cluster.apply(what, objects, { force: force || this.#forceConflicts });
    const remaining = await this.#cluster.delete(what, changes.deleted);
    const present = await this.#cluster.listPresent(objects);
    return {
      where: "the cluster, by kubectl",
      isConfirmed: remaining.length === 0 && present?.length === objects.length,
      ...(remaining.length === 0 ? {} : { remaining: labelsOf(remaining) }),
    };
  }
}
