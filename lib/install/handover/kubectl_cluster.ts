import { pause } from "../../bytes/pause.ts";
import { BUILT_IN_GROUPS } from "../../kubepkg/cluster_kinds.ts";
import { installRank } from "../../kubepkg/install_rank.ts";
import { identityKey } from "../../kubepkg/object_identity.ts";
import type { PackageObject } from "../../kubepkg/package_objects.ts";
import { unlessCorrupt } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import { failureLinesOf } from "./kubectl_advice.ts";
import { type KubectlCall, KubectlError, type KubectlResult, type RunKubectl } from "./kubectl_error.ts";
import { formatObjects } from "./manifest_file.ts";
import {
  COLUMNS,
  isInEveryNamespace,
  isTransient,
  parsePresentObjects,
  type PresentObject,
  selectPresent,
} from "./present_objects.ts";

/** How a `KubectlCluster` asks. */
interface KubectlClusterOptions {
  readonly runKubectl: RunKubectl;
  /** How long to wait until deleted objects are gone, in milliseconds. */
  readonly deleteTimeLimit?: number | undefined;
  /** Waits, in milliseconds. */
  readonly sleep?: (milliseconds: number) => Promise<void>;
  /** A clock, in milliseconds. */
  readonly now?: () => number;
}

// A webhook may take 30 seconds, and the API server ends a request after 60.
const WRITE_TIMEOUT = "--request-timeout=60s";
const READ_TIMEOUT = "--request-timeout=15s";
const APPLY = ["apply", "--server-side", "--field-manager=crpe"];
const VERSION: KubectlCall = { args: ["version", READ_TIMEOUT], timeLimit: 20 };
const GET = ["get", "--ignore-not-found", "--no-headers", READ_TIMEOUT];
// A finalizer without a controller never ends. The limit keeps it from holding the lock, and so blocking every import.
const DELETE_TIME_LIMIT = 5 * 60_000;
const POLL_MILLISECONDS = 2000;
// The API server may serve a kind some seconds after it has reported the definition as established.
const MAX_UNKNOWN_KIND_RETRIES = 5;

const JSON_LIMITS = { maxBytes: 16 * 1024 * 1024, maxDepth: 128 };

// kubectl sends one request after the other, and at least one for each object. Seconds.
const timeLimitFor = (seconds: number, objects: readonly PackageObject[]) => seconds + Math.ceil(objects.length / 4);

/** A cluster as kubectl reaches it. */
export class KubectlCluster {
  readonly #runKubectl: RunKubectl;
  readonly #deleteTimeLimit: number;
  readonly #sleep: (milliseconds: number) => Promise<void>;
  readonly #now: () => number;

  constructor(options: KubectlClusterOptions) {
    this.#runKubectl = options.runKubectl;
    this.#deleteTimeLimit = options.deleteTimeLimit ?? DELETE_TIME_LIMIT;
    this.#sleep = options.sleep ?? pause;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Returns the same cluster, with a limit on the time of all calls together: a caller that holds the installation lock
   * must end, even if the API server takes nearly the time limit of each call.
   *
   * @param seconds the limit, to which the time for deleting is added
   */
  within(seconds: number): KubectlCluster {
    const limit = seconds + Math.ceil(this.#deleteTimeLimit / 1000);
    const end = this.#now() + limit * 1000;
    const runKubectl: RunKubectl = async (call) => {
      const left = Math.ceil((end - this.#now()) / 1000);
      if (left <= 0) return { code: 1, stdout: "", stderr: "", timedOutAfter: limit };
      return await this.#runKubectl({ ...call, timeLimit: Math.min(call.timeLimit, left) });
    };
    const [deleteTimeLimit, sleep, now] = [this.#deleteTimeLimit, this.#sleep, this.#now];
    return new KubectlCluster({ runKubectl, deleteTimeLimit, sleep, now });
  }

  /** Checks that kubectl is installed and reaches the cluster. @throws {KubectlError} when not */
  async check(action: string): Promise<void> {
    await this.#run(action, VERSION);
  }

  /**
   * Applies objects on the server, in their order: definitions are awaited before objects of their kind are applied.
   * kubectl continues after an object that fails, so that others may be applied when this throws.
   *
   * @param force takes over fields that other managers own
   * @throws {KubectlError} that names `action`
   */
  async apply(action: string, objects: readonly PackageObject[], { force }: { force: boolean }): Promise<void> {
    const definitions = objects.filter(isDefinition);
    const last = definitions.at(-1);
    const split = last === undefined ? 0 : objects.indexOf(last) + 1;
    const [first, rest] = [objects.slice(0, split), objects.slice(split)];
    if (first.length > 0) await this.#run(action, applyCall(first, { force }));
    if (definitions.length > 0) {
      const args = ["wait", "--for=condition=Established", "--timeout=60s", "-f", "-"];
      await this.#run(action, { args, input: format(definitions), timeLimit: timeLimitFor(90, definitions) });
    }
    if (rest.length === 0) return;
    const call = applyCall(rest, { force });
    let result = await this.#runKubectl(call);
    for (let i = 0; i < MAX_UNKNOWN_KIND_RETRIES && definitions.length > 0 && isOfUnknownKind(result); i++) {
      await this.#sleep(POLL_MILLISECONDS);
      result = await this.#runKubectl(call);
    }
    if (result?.code !== 0) throw new KubectlError(action, result);
  }

  /**
   * Returns the lines that kubectl would write about failures if it applied the objects now; nothing is changed. Some may
   * not be failures of the real run, because Namespaces and definitions are not created either. None if the cluster cannot
   * be asked.
   */
  async findApplyFailures(
    objects: readonly PackageObject[],
    { force }: { force: boolean },
  ): Promise<readonly string[]> {
    // A server that does not answer is asked once here, and by the dry run for every group of its API.
    if (objects.length === 0 || (await this.#runKubectl(VERSION))?.code !== 0) return [];
    const { args, ...call } = applyCall(objects, { force });
    const result = await this.#runKubectl({ ...call, args: [...args, "--dry-run=server"] });
    return result === undefined || result.code === 0 ? [] : failureLinesOf({ ...result, stdout: "" });
  }

  /** Reports whether the objects are in the cluster as they are here. If kubectl fails, the answer is false. */
  async isApplied(objects: readonly PackageObject[]): Promise<boolean> {
    if (objects.length === 0) return true;
    const args = ["diff", "--server-side", "--field-manager=crpe", WRITE_TIMEOUT, "-f", "-"];
    const result = await this.#runKubectl({ args, input: format(objects), timeLimit: timeLimitFor(60, objects) });
    return result?.code === 0;
  }

  /**
   * Deletes objects, those that others depend on last, and waits until they are gone. An object that a controller has made
   * again since counts as gone.
   *
   * @returns those that were still present when the time was up, held by a finalizer, and those that depend on them
   * @throws {KubectlError} that names `action`
   */
  async delete(action: string, objects: readonly PackageObject[]): Promise<readonly PackageObject[]> {
    if (objects.length === 0) return [];
    const before = await this.#readPresent(objects);
    if (!Array.isArray(before)) throw new KubectlError(action, before);
    const uids = new Set(before.map(({ uid }) => uid));
    const isOld = ({ uid }: PresentObject) => uids.has(uid);
    const end = this.#now() + this.#deleteTimeLimit;
    const tiers = tiersOf(objects);
    for (const [i, tier] of tiers.entries()) {
      // Without --wait=false kubectl asks about each object five times a second at most: 400 objects take 90 seconds.
      const args = ["delete", "--ignore-not-found", "--wait=false", WRITE_TIMEOUT, "-f", "-"];
      await this.#run(action, { args, input: format(tier), timeLimit: timeLimitFor(60, tier) });
      for (let remaining = tier; remaining.length > 0;) {
        const present = await this.#readPresent(remaining);
        if (Array.isArray(present)) remaining = selectPresent(remaining, present.filter(isOld));
        if (remaining.length > 0 && this.#now() >= end) {
          if (!Array.isArray(present)) throw new KubectlError(action, present);
          const later = tiers.slice(i + 1).flat();
          return [...remaining, ...selectPresent(later, before)];
        }
        if (remaining.length > 0) await this.#sleep(POLL_MILLISECONDS);
      }
    }
    return [];
  }

  /** Those of the objects that exist; `undefined`: the cluster cannot be asked. */
  async listPresent(objects: readonly PackageObject[]): Promise<readonly PackageObject[] | undefined> {
    const present = await this.#readPresent(objects);
    return Array.isArray(present) ? selectPresent(objects, present) : undefined;
  }

  /**
   * Lists what is in a Namespace besides a package's own objects: everything that no other object owns, and that Kubernetes
   * does not put into every Namespace.
   *
   * @returns `kind/name`; `undefined`: the cluster cannot be asked
   */
  async listForeign(namespace: string, own: readonly PackageObject[]): Promise<readonly string[] | undefined> {
    const kinds = await this.#runKubectl({
      args: ["api-resources", "--verbs=list,delete", "--namespaced", "-o", "name", READ_TIMEOUT],
      timeLimit: 30,
    });
    if (kinds?.code !== 0) return undefined;
    const names = kinds.stdout.split(/\s+/).filter((name) => name !== "" && !isTransient(name));
    if (names.length === 0) return [];
    const result = await this.#runKubectl({
      args: [...GET, `-o=custom-columns=${COLUMNS}`, `--namespace=${namespace}`, names.join(",")],
      timeLimit: 120,
    });
    if (result?.code !== 0) return undefined;
    const known = new Set(own.map(({ identity }) => identityKey(identity)));
    return parsePresentObjects(result.stdout)
      .filter(({ identity, isOwned }) => !isOwned && !known.has(identityKey(identity)) && !isInEveryNamespace(identity))
      .map(({ identity: { kind, name } }) => `${kind}/${name}`);
  }

  /** Reads an object, or a list, as JSON; `undefined`: it does not exist, or the cluster cannot be asked. */
  async readJson(args: readonly string[]): Promise<Record<string, unknown> | undefined> {
    const result = await this.#runKubectl({ args: [...args, "-o", "json", READ_TIMEOUT], timeLimit: 20 });
    if (result?.code !== 0) return undefined;
    const output = new TextEncoder().encode(result.stdout);
    const json = unlessCorrupt(() => parseJson(output, "the output of kubectl", JSON_LIMITS));
    return isJsonObject(json) ? json : undefined;
  }

  // Returns the result of kubectl if that fails.
  async #readPresent(objects: readonly PackageObject[]): Promise<PresentObject[] | KubectlResult | undefined> {
    if (objects.length === 0) return [];
    const result = await this.#runKubectl({
      args: [...GET, `-o=custom-columns=${COLUMNS}`, "-f", "-"],
      input: format(objects),
      timeLimit: timeLimitFor(20, objects),
    });
    return result?.code === 0 || isOfUnknownKind(result) ? parsePresentObjects(result!.stdout) : result;
  }

  async #run(action: string, call: KubectlCall): Promise<void> {
    const result = await this.#runKubectl(call);
    if (result?.code === 0 || call.args[0] === "delete" && isOfUnknownKind(result)) return;
    throw new KubectlError(action, result);
  }
}

function applyCall(objects: readonly PackageObject[], { force }: { force: boolean }): KubectlCall {
  return {
    args: [...APPLY, WRITE_TIMEOUT, ...(force ? ["--force-conflicts"] : []), "-f", "-"],
    input: format(objects),
    timeLimit: timeLimitFor(300, objects),
  };
}

// An object whose kind the cluster does not know (any more) does not exist; kubectl reports that as an error, but handles
// the other objects.
function isOfUnknownKind(result: KubectlResult | undefined): boolean {
  if (result === undefined || result.code === 0 || result.timedOutAfter !== undefined) return false;
  const lines = failureLinesOf({ ...result, stdout: "" });
  return lines.length > 0 && lines.every((line) => {
    return /no matches for kind|ensure CRDs are installed first/.test(line) && !line.includes("Error from server");
  });
}

// What must be gone before the rest can be deleted. Webhooks and APIServices come first, because they make the API server
// refuse everything else once their workload is gone; then custom resources, whose finalizers need that workload; then the
// rest, definitions and Namespaces.
function tiersOf(objects: readonly PackageObject[]): PackageObject[][] {
  const tierOf = ({ identity: { group, kind } }: PackageObject) => {
    if (group === "admissionregistration.k8s.io" || group === "apiregistration.k8s.io") return 0;
    if (!BUILT_IN_GROUPS.has(group)) return 1;
    if (kind === "CustomResourceDefinition") return 3;
    return group === "" && kind === "Namespace" ? 4 : 2;
  };
  const tiers: PackageObject[][] = [[], [], [], [], []];
  const sorted = [...objects].sort((a, b) => installRank(b.identity) - installRank(a.identity));
  for (const object of sorted) tiers[tierOf(object)]!.push(object);
  return tiers.filter((tier) => tier.length > 0);
}

function isDefinition({ identity: { group, kind } }: PackageObject): boolean {
  return group === "apiextensions.k8s.io" && kind === "CustomResourceDefinition";
}

function format(objects: readonly PackageObject[]): string {
  return formatObjects(objects.map(({ object }) => object));
}
