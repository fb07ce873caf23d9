import { installRank } from "../../kubepkg/install_rank.ts";
import { identifyObject, identityKey, type ObjectIdentity } from "../../kubepkg/object_identity.ts";
import type { PackageObject } from "../../kubepkg/package_objects.ts";
import { CorruptError } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import { KubectlError, type KubectlResult, linesOf, type RunKubectl } from "./kubectl_error.ts";
import { formatObjects } from "./manifest_file.ts";

/** How a `KubectlCluster` asks. */
export interface KubectlClusterOptions {
  readonly runKubectl: RunKubectl;
  /** Waits, in milliseconds. */
  readonly sleep?: (milliseconds: number) => Promise<void>;
}

// kubectl sends about 5 requests a second, one for each object, so that several run side by side.
const MAX_PROCESSES = 8;
const MIN_BATCH = 10;
const REQUEST_TIMEOUT = "--request-timeout=30s";
const APPLY = ["apply", "--server-side", "--field-manager=crpe", REQUEST_TIMEOUT];
const COLUMNS = "-o=custom-columns=A:.apiVersion,K:.kind,NS:.metadata.namespace,N:.metadata.name";
// A finalizer without a controller never ends. The limit keeps it from holding the lock, and so blocking every import.
const MAX_DELETE_POLLS = 150;
const POLL_MILLISECONDS = 2000;

const JSON_LIMITS = { maxBytes: 16 * 1024 * 1024, maxDepth: 128 };
// Made by controllers for other objects, often without naming an owner.
const TRANSIENT = new Set([
  ...["events", "events.events.k8s.io", "endpoints", "endpointslices.discovery.k8s.io", "leases.coordination.k8s.io"],
  ...["pods.metrics.k8s.io", "controllerrevisions.apps"],
]);

/** A cluster as kubectl reaches it. */
export class KubectlCluster {
  readonly #runKubectl: RunKubectl;
  readonly #sleep: (milliseconds: number) => Promise<void>;

  constructor(
    { runKubectl, sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms)) }: KubectlClusterOptions,
  ) {
    this.#runKubectl = runKubectl;
    this.#sleep = sleep;
  }

  /** Checks that kubectl is installed and reaches the cluster. @throws {KubectlError} when not */
  async check(what: string): Promise<void> {
    await this.#run(what, ["version", "--request-timeout=20s"]);
  }

  /**
   * Applies objects on the server, in their order: definitions are awaited before objects of their kind are applied.
   *
   * @param force takes over fields that other managers own
   * @throws {KubectlError} that begins with `what`
   */
  async apply(what: string, objects: readonly PackageObject[], { force }: { force: boolean }): Promise<void> {
    const args = [...APPLY, ...(force ? ["--force-conflicts"] : []), "-f", "-"];
    const definitions = objects.filter(isDefinition);
    const last = definitions.at(-1);
    const split = last === undefined ? 0 : objects.indexOf(last) + 1;
    const [first, rest] = [objects.slice(0, split), objects.slice(split)];
    if (first.length > 0) await this.#run(what, args, format(first));
    if (definitions.length > 0) {
      await this.#run(what, ["wait", "--for=condition=Established", "--timeout=60s", "-f", "-"], format(definitions));
    }
    if (rest.length > 0) await this.#run(what, args, format(rest));
  }

  /** Reports whether the objects are in the cluster as they are here. If kubectl fails, the answer is false. */
  async isApplied(objects: readonly PackageObject[]): Promise<boolean> {
    if (objects.length === 0) return true;
    const args = ["diff", "--server-side", "--field-manager=crpe", "--request-timeout=20s", "-f", "-"];
    return (await this.#runKubectl(args, format(objects)))?.code === 0;
  }

  /**
   * Deletes objects, those that others depend on last, and waits until they are gone.
   *
   * @param objects in the order of removal
   * @returns those that were still present when the time was up: a finalizer holds them
   * @throws {KubectlError} that begins with `what`
   */
  async delete(what: string, objects: readonly PackageObject[]): Promise<readonly PackageObject[]> {
    const remaining: PackageObject[] = [];
    for (const tier of tiersOf(objects)) {
      const args = ["delete", "--ignore-not-found", "--wait=false", REQUEST_TIMEOUT, "-f", "-"];
      await this.#inBatches(tier, async (batch) => await this.#run(what, args, format(batch)));
      let present = await this.listPresent(tier) ?? [];
      for (let polls = 0; present.length > 0 && polls < MAX_DELETE_POLLS; polls++) {
        await this.#sleep(POLL_MILLISECONDS);
        present = await this.listPresent(present) ?? [];
      }
      remaining.push(...present);
    }
    return remaining;
  }

  /** Those of the objects that exist; `undefined`: the cluster cannot be asked. */
  async listPresent(objects: readonly PackageObject[]): Promise<readonly PackageObject[] | undefined> {
    const found = new Set<string>();
    const args = ["get", "--ignore-not-found", "--no-headers", COLUMNS, REQUEST_TIMEOUT, "-f", "-"];
    let isAsked = true;
    await this.#inBatches(objects, async (batch) => {
      const result = await this.#runKubectl(args, format(batch));
      if (result === undefined || (result.code !== 0 && !isOfUnknownKind(result))) isAsked = false;
      else for (const key of parseColumns(result.stdout)) found.add(key);
    });
    return isAsked ? objects.filter(({ identity }) => found.has(identityKey(identity))) : undefined;
  }

  /**
   * Lists what is in a Namespace besides a package's own objects: everything that no other object owns, and that Kubernetes
   * does not put into every Namespace.
   *
   * @returns `kind/name`; `undefined`: the cluster cannot be asked
   */
  async listForeign(namespace: string, own: readonly PackageObject[]): Promise<readonly string[] | undefined> {
    const kinds = await this.#runKubectl([
      "api-resources",
      "--verbs=list,delete",
      "--namespaced",
      "-o",
      "name",
      REQUEST_TIMEOUT,
    ]);
    if (kinds?.code !== 0) return undefined;
    const names = kinds.stdout.split(/\s+/).filter((name) => name !== "" && !TRANSIENT.has(name));
    const columns = `${COLUMNS},O:.metadata.ownerReferences[*].kind`;
    const args = [
      "get",
      names.join(","),
      "-n",
      namespace,
      "--ignore-not-found",
      "--no-headers",
      columns,
      REQUEST_TIMEOUT,
    ];
    const result = await this.#runKubectl(args);
    if (result?.code !== 0) return undefined;
    const known = new Set(own.map(({ identity }) => identityKey(identity)));
    return result.stdout.split("\n").flatMap((line) => {
      const [, kind, , name, owner] = line.trim().split(/\s+/);
      if (kind === undefined || name === undefined || owner !== "<none>") return [];
      const [key] = parseColumns(line);
      return known.has(key!) || isInEveryNamespace(kind, name) ? [] : [`${kind}/${name}`];
    });
  }

  /** Reads an object, or a list, as JSON; `undefined`: it does not exist, or the cluster cannot be asked. */
  async readJson(args: readonly string[]): Promise<Record<string, unknown> | undefined> {
    const result = await this.#runKubectl([...args, "-o", "json", "--request-timeout=20s"]);
    if (result?.code !== 0) return undefined;
    try {
      const json = parseJson(new TextEncoder().encode(result.stdout), "the output of kubectl", JSON_LIMITS);
      return isJsonObject(json) ? json : undefined;
    } catch (error) {
      if (error instanceof CorruptError) return undefined;
      throw error;
    }
  }

  async #run(what: string, args: readonly string[], input?: string): Promise<KubectlResult> {
    const result = await this.#runKubectl(args, input);
    if (result !== undefined && (result.code === 0 || args[0] === "delete" && isOfUnknownKind(result))) return result;
    throw new KubectlError(what, result);
  }

  async #inBatches(
    objects: readonly PackageObject[],
    work: (batch: readonly PackageObject[]) => Promise<unknown>,
  ): Promise<void> {
    const size = Math.max(MIN_BATCH, Math.ceil(objects.length / MAX_PROCESSES));
    const batches: PackageObject[][] = [];
    for (let at = 0; at < objects.length; at += size) batches.push(objects.slice(at, at + size));
    await Promise.all(batches.map(work));
  }
}

// An object whose kind the cluster does not know (any more) does not exist; kubectl reports that as an error, but handles
// the other objects.
function isOfUnknownKind(result: KubectlResult): boolean {
  const lines = linesOf({ ...result, stdout: "" }).filter((line) => !line.startsWith("Warning:"));
  return lines.length > 0 && lines.every((line) => {
    return /no matches for kind|ensure CRDs are installed first/.test(line) && !line.includes("Error from server");
  });
}

// The control plane makes these in each Namespace.
function isInEveryNamespace(kind: string, name: string): boolean {
  return kind === "ConfigMap" && name === "kube-root-ca.crt" || kind === "ServiceAccount" && name === "default" ||
    kind === "Secret" && name.startsWith("default-token-");
}

function parseColumns(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [apiVersion, kind, namespace, name] = line.trim().split(/\s+/);
    if (apiVersion === undefined || kind === undefined || name === undefined) return [];
    const identity: ObjectIdentity = identifyObject({ apiVersion, kind, metadata: { name } });
    return [identityKey({ ...identity, namespace: namespace === "<none>" ? "" : namespace! })];
  });
}

// What must be gone before the rest can be deleted: webhooks and APIServices before everything else, definitions after the
// objects of their kind, Namespaces and volumes at the end.
function tiersOf(objects: readonly PackageObject[]): PackageObject[][] {
  const tierOf = ({ identity }: PackageObject) => {
    if (identity.group === "admissionregistration.k8s.io" || identity.group === "apiregistration.k8s.io") return 0;
    if (identity.kind === "CustomResourceDefinition") return 2;
    return identity.group === "" && identity.kind === "Namespace" ? 3 : 1;
  };
  const tiers: PackageObject[][] = [[], [], [], []];
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
