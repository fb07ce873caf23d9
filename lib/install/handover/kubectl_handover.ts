import { packageObjects } from "../../kubepkg/package_objects.ts";
import { identityOf } from "../../kubepkg/version.ts";
import { cannot, RefusedError } from "../../oci/error.ts";
import type { Handover, HandoverPlan, HandoverRequest, HandoverResult } from "./handover.ts";
import { handedOverObjects, type HandoverPlace } from "./handover_records.ts";
import { adviseOn, selectLasting, shortenLine } from "./kubectl_advice.ts";
import type { KubectlCluster } from "./kubectl_cluster.ts";
import { labelsOf, planObjects } from "./plan_objects.ts";

// Failures that a refusal quotes, and the characters at each end of them.
const [MAX_QUOTES, MAX_END] = [5, 200];

// For all calls of kubectl of one step, in seconds: each has a time limit of its own, but there are many, and other imports
// wait for the installation lock meanwhile.
const timeLimitFor = ({ length }: readonly unknown[]) => 10 * 60 + Math.ceil(length / 2);

/**
 * Hands packages over with `kubectl apply --server-side`. kubectl prunes nothing, so objects that left a package are deleted
 * by name, data only with consent.
 */
export class KubectlHandover implements Handover {
  readonly #cluster: KubectlCluster;
  readonly #forceConflicts: boolean;
  // The release that was tried last and can be applied: a plan is made several times for one hand-over.
  #tried: string | undefined;

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
    await this.#cluster.check("hand manifests over, nothing was changed");
  }

  async plan(request: HandoverRequest): Promise<HandoverPlan> {
    const { before, others, areOthersKnown, isRemoval, pruneData } = request;
    const objects = isRemoval ? [] : packageObjects(request.package);
    const options = { before: handedOverObjects(before), after: objects, others, areOthersKnown, pruneData };
    const occupied = new Set<string>();
    const cluster = this.#cluster.within(timeLimitFor([...objects, ...options.before]));
    if (pruneData) {
      for (const { identity } of planObjects(options).deleted) {
        if (identity.kind !== "Namespace" || identity.group !== "") continue;
        const foreign = await cluster.listForeign(identity.name, options.before);
        if (foreign === undefined || foreign.length > 0) occupied.add(identity.name);
      }
    }
    const changes = planObjects({ ...options, isOccupied: (namespace) => occupied.has(namespace) });
    const plan = { request, objects, changes, revision: before?.revision ?? 0 };
    const refusal = await this.#refuse(plan, cluster);
    return refusal === undefined ? plan : { ...plan, refusal };
  }

  /** Compares with the cluster. If kubectl fails, the result is false, and the hand-over that follows reports the reason. */
  async isHandedOver({ objects }: HandoverPlan): Promise<boolean> {
    return await this.#cluster.within(timeLimitFor(objects)).isApplied(objects);
  }

  async apply({ request, objects, changes }: HandoverPlan): Promise<HandoverResult> {
    this.#tried = undefined;
    const action = describe(request);
    const cluster = this.#cluster.within(timeLimitFor([...objects, ...changes.deleted]));
    await cluster.apply(action, objects, { force: this.#isForced(request) });
    const remaining = await cluster.delete(action, changes.deleted);
    const present = await cluster.listPresent(objects);
    return {
      where: "the cluster, by kubectl",
      isConfirmed: remaining.length === 0 && present?.length === objects.length,
      remaining: remaining.length === 0 ? undefined : labelsOf(remaining),
    };
  }

  #isForced({ force }: HandoverRequest): boolean {
    return force || this.#forceConflicts;
  }

  // kubectl applies what it can, so a release that cannot be applied as a whole would be applied by halves. A dry run shows
  // that beforehand. Its other failures are left to the hand-over itself.
  async #refuse({ request, objects }: HandoverPlan, cluster: KubectlCluster): Promise<RefusedError | undefined> {
    if (request.isRemoval) return undefined;
    const force = this.#isForced(request);
    const release = `${force} ${identityOf(request.package)}`;
    if (release === this.#tried) return undefined;
    const lasting = selectLasting(await cluster.findApplyFailures(objects, { force }));
    if (lasting.length === 0) {
      this.#tried = release;
      return undefined;
    }
    const quotes = lasting.slice(0, MAX_QUOTES).map((line) => shortenLine(line, MAX_END));
    const more = lasting.length > MAX_QUOTES ? `; and ${lasting.length - MAX_QUOTES} more` : "";
    return new RefusedError(
      cannot(
        `${describe(request)}, nothing was changed`,
        `${adviseOn(lasting)} (kubectl: ${quotes.join("; ")}${more})`,
      ),
    );
  }
}

function describe({ package: { metadata: { name }, spec: { version } }, isRemoval }: HandoverRequest): string {
  return `${isRemoval ? "remove" : "hand over"} ${name}@${version}`;
}
