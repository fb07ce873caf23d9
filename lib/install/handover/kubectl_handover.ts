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

/** What a `KubectlHandover` is given from outside. */
export interface KubectlHandoverOptions {
  readonly runKubectl: RunKubectl;
  /** The packages that are installed: what these have too, or live in, is not deleted with one of them. */
  readonly listPackages: () => Promise<readonly KubePkg[]>;
}

const APPLY = ["apply", "--server-side", "--field-manager=crpe", "-f", "-"];
// A finalizer that nobody serves must not keep the lock, and with it every import, for ever.
const DELETE = ["delete", "--ignore-not-found", "--timeout=5m", "-f", "-"];
const AWAIT_DEFINITIONS = ["wait", "--for=condition=Established", "--timeout=60s", "-f", "-"];

/**
 * Hands packages over by `kubectl apply --server-side`. It prunes nothing by itself: what left a package is deleted by
 * name, but never a Namespace, a CustomResourceDefinition or a PersistentVolumeClaim, since data goes with these.
 */
export class KubectlHandover implements Handover {
  readonly #options: KubectlHandoverOptions;

  constructor(options: KubectlHandoverOptions) {
    this.#options = options;
  }

  place(): Promise<HandoverPlace> {
    return Promise.resolve({ kubectl: true });
  }

  /** Finds out whether there is a kubectl, and whether it reaches the cluster. */
  async prepare(): Promise<void> {
    await this.#run("Cannot hand manifests over, nothing was changed", ["version", "--request-timeout=20s"]);
  }

  /** Asks the cluster; where it cannot be asked, the answer is no, and what is done about it will say why. */
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
    // What is of a new kind, or in a new namespace, is refused as long as these are not there.
    const first = inOrder(objects).filter(({ identity }) => rankOf(identity) !== "other");
    const definitions = ofRank(objects, "definition");
    if (first.length > 0) await this.#run(what, APPLY, format(first));
    if (definitions.length > 0) await this.#run(what, AWAIT_DEFINITIONS, format(definitions));
    const rest = ofRank(objects, "other");
    if (rest.length > 0) await this.#run(what, APPLY, format(rest));
    const gone = previous === undefined ? [] : listObjects(previous)
      .filter((old) => !objects.some(({ identity }) => mayBeSame(identity, old.identity)));
    return await this.#delete(what, gone, { of: name, isWhole: false });
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
    const going = objects.filter((object) => !isKept(object));
    // kubectl waits until what it deletes is gone: the objects of a kind before the kind, and all before a namespace.
    for (const rank of ["other", "definition", "namespace"] as const) {
      const batch = ofRank(going, rank).reverse();
      if (batch.length > 0) await this.#run(what, DELETE, format(batch));
    }
    return { where: "the cluster, by kubectl", left: objects.filter(isKept).map((it) => formatIdentity(it.identity)) };
  }

  async #run(what: string, args: readonly string[], input?: string): Promise<void> {
    const result = await this.#options.runKubectl(args, input);
    if (result?.code === 0 || (result !== undefined && args === DELETE && isGone(result))) return;
    throw new KubectlError(what, result);
  }
}

// An object whose kind the cluster does not know (any more) is not there; kubectl calls that an error, and deletes the
// rest all the same.
function isGone(result: KubectlResult): boolean {
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
