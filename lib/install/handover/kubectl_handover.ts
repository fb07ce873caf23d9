import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import type { Handover, HandoverPlace, HandoverResult } from "./handover.ts";
import {
  formatIdentity,
  isDeletedWith,
  isUnsafeToDelete,
  listObjects,
  mayBeSame,
  type ObjectRank,
  type PackageObject,
  rankOf,
} from "./kube_objects.ts";
import { KubectlError, type KubectlResult, linesOf, type RunKubectl } from "./kubectl_error.ts";
import { formatObjects } from "./manifest_file.ts";

/** Dependencies of a `KubectlHandover`. */
export interface KubectlHandoverOptions {
  readonly runKubectl: RunKubectl;
  /** Lists the installed packages. An object that another package also has, or depends on, is not deleted. */
  readonly listPackages: () => Promise<readonly KubePkg[]>;
}

const APPLY = ["apply", "--server-side", "--field-manager=crpe", "-f", "-"];
// A finalizer without a controller never ends. The time-out keeps it from holding the lock, and so blocking every
// import.
const DELETE = ["delete", "--ignore-not-found", "--timeout=5m", "-f", "-"];
const AWAIT_DEFINITIONS = ["wait", "--for=condition=Established", "--timeout=60s", "-f", "-"];

/**
 * Hands packages over with `kubectl apply --server-side`. kubectl prunes nothing, so objects that left a package are
 * deleted by name. Namespaces, CustomResourceDefinitions and PersistentVolumeClaims are never deleted, because that
 * would delete data.
 */
export class KubectlHandover implements Handover {
  readonly #options: KubectlHandoverOptions;

  constructor(options: KubectlHandoverOptions) {
    this.#options = options;
  }

  place(): Promise<HandoverPlace> {
    return Promise.resolve({ kubectl: true });
  }

  /** Checks that kubectl is installed and reaches the cluster. @throws {KubectlError} when not */
  async prepare(): Promise<void> {
    await this.#run("Cannot hand manifests over, nothing was changed", ["version", "--request-timeout=20s"]);
  }

  /**
   * Compares with the cluster. If kubectl fails, the result is false, and the hand-over that follows reports the
   * reason.
   */
  async isHandedOver(kubepkg: KubePkg): Promise<boolean> {
    const objects = listObjects(kubepkg);
    if (objects.length === 0) return true;
    const args = ["diff", "--server-side", "--field-manager=crpe", "--request-timeout=20s", "-f", "-"];
    return (await this.#options.runKubectl(args, format(inOrder(objects))))?.code === 0;
  }

  async handOver(kubepkg: KubePkg, previous: KubePkg | undefined): Promise<HandoverResult> {
    const { metadata: { name }, spec: { version } } = kubepkg;
    const what = `Cannot hand over ${name}@${version}`;
    const objects = listObjects(kubepkg);
    // The cluster refuses an object while its kind or its namespace does not exist, so these are applied first.
    const first = inOrder(objects).filter(({ identity }) => rankOf(identity) !== "other");
    const definitions = ofRank(objects, "definition");
    if (first.length > 0) await this.#run(what, APPLY, format(first));
    if (definitions.length > 0) await this.#run(what, AWAIT_DEFINITIONS, format(definitions));
    const rest = ofRank(objects, "other");
    if (rest.length > 0) await this.#run(what, APPLY, format(rest));
    const dropped = previous === undefined ? [] : listObjects(previous)
      .filter((old) => !objects.some(({ identity }) => mayBeSame(identity, old.identity)));
    return await this.#delete(what, dropped, { of: name, isWhole: false });
  }

  async remove(kubepkg: KubePkg): Promise<HandoverResult> {
    const { metadata: { name }, spec: { version } } = kubepkg;
    return await this.#delete(`Cannot remove ${name}@${version}`, listObjects(kubepkg), { of: name, isWhole: true });
  }

  async #delete(
    what: string,
    objects: readonly PackageObject[],
    { of, isWhole }: { of: string; isWhole: boolean },
  ): Promise<HandoverResult> {
    const others = (await this.#options.listPackages())
      .filter(({ metadata }) => metadata.name !== of).flatMap(listObjects);
    const isKept = (object: PackageObject) =>
      !isWhole && isUnsafeToDelete(object.identity) ||
      others.some((other) => mayBeSame(other.identity, object.identity) || isDeletedWith(other, object));
    const deletable = objects.filter((object) => !isKept(object));
    // kubectl waits until the deletion is complete, so the objects of a kind are deleted before its definition, and all
    // objects before the namespaces.
    for (const rank of ["other", "definition", "namespace"] as const) {
      const batch = ofRank(deletable, rank).reverse();
      if (batch.length > 0) await this.#run(what, DELETE, format(batch));
    }
    return { where: "the cluster, by kubectl", left: objects.filter(isKept).map((it) => formatIdentity(it.identity)) };
  }

  async #run(what: string, args: readonly string[], input?: string): Promise<void> {
    const result = await this.#options.runKubectl(args, input);
    if (result?.code === 0 || (result !== undefined && args === DELETE && isAlreadyDeleted(result))) return;
    throw new KubectlError(what, result);
  }
}

// An object whose kind the cluster does not know (any more) does not exist. kubectl reports that as an error, but
// deletes the other objects.
function isAlreadyDeleted(result: KubectlResult): boolean {
  const lines = linesOf({ ...result, stdout: "" }).filter((line) => !line.startsWith("Warning:"));
  return lines.length > 0 && lines.every((line) => {
    return /no matches for kind|ensure CRDs are installed first/.test(line) && !line.includes("Error from server");
  });
}

function inOrder(objects: readonly PackageObject[]): PackageObject[] {
  return (["namespace", "definition", "other"] as const).flatMap((rank) => ofRank(objects, rank));
}

function ofRank(objects: readonly PackageObject[], rank: ObjectRank): PackageObject[] {
  return objects.filter(({ identity }) => rankOf(identity) === rank);
}

function format(objects: readonly PackageObject[]): string {
  return formatObjects(objects.map(({ object }) => object));
}
