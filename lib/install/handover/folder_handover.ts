import { removeIfPresent, syncFolder, writeFileDurably } from "../../files/durable.ts";
import { parentOf } from "../../files/parent_of.ts";
import type { KubeObject } from "../../kubepkg/kubepkg.ts";
import { identifyObject, identityKey } from "../../kubepkg/object_identity.ts";
import { type PackageObject, packageObjects } from "../../kubepkg/package_objects.ts";
import { computeDigest } from "../../oci/digest.ts";
import { byForce, cannot, CrpeError, RefusedError } from "../../oci/error.ts";
import type { Handover, HandoverPlan, HandoverRequest, HandoverResult } from "./handover.ts";
import { handedOverObjects, type HandoverPlace, isCompleted, type OwnedFile } from "./handover_records.ts";
import type { K3sAddons } from "./k3s_addons.ts";
import { formatManifestFile, handoverFileName, withoutPruning } from "./manifest_file.ts";
import {
  baseNameOf,
  findRivalFiles,
  isReservedStem,
  type ManifestFile,
  readManifestFile,
  readWriteTime,
  stemOf,
  watchedFolderOf,
} from "./manifest_folder.ts";
import { ownerOf, removeOwnedFile } from "./owned_file.ts";
import { labelsOf, type ObjectChanges, planObjects } from "./plan_objects.ts";
import { describeSystemError } from "../../oci/system_error.ts";

/** Dependencies of a `FolderHandover`. */
export interface FolderHandoverOptions {
  /**
   * Waits until the cluster has noticed that a file was emptied, or until no more time is left.
   *
   * @param isOver whether there is nothing more to wait for: the cluster has done it, or it cannot be asked
   */
  readonly waitForWatcher?: (isOver: () => Promise<boolean>) => Promise<void>;
  /** What k3s can be seen to have done; without it nothing is confirmed. */
  readonly addons?: Pick<K3sAddons, "readState" | "listPresent"> | undefined;
  /** Names that k3s is told to disable (`--disable`): it deletes a file of that name, and its objects. */
  readonly listDisabled?: () => Promise<readonly string[]>;
}

/**
 * Hands packages over in the folder that k3s (or another watcher) polls, with one file for each package. A file is written
 * under a name with a leading dot, which watchers ignore, and then renamed.
 *
 * The watcher deletes objects that leave a file from the cluster, but keeps the objects of a file that is removed. A file is
 * therefore emptied first, and removed after the watcher was seen to have deleted the objects. Until then it stays, so that
 * a watcher that does not run deletes them when it starts. What must not be deleted stays in the file.
 */
export class FolderHandover implements Handover {
  readonly #folder: string;
  readonly #options: FolderHandoverOptions;

  constructor(folder: string, options: FolderHandoverOptions = {}) {
    this.#folder = folder;
    this.#options = options;
  }

  async place(): Promise<HandoverPlace> {
    return { manifestsDir: await Deno.realPath(this.#folder) };
  }

  async prepare(): Promise<void> {
    try {
      const path = `${this.#folder}/.probe.tmp`;
      (await Deno.open(path, { write: true, create: true })).close();
      await removeIfPresent(path);
    } catch (cause) {
      throw this.#unusableError(cause);
    }
  }

  async plan(request: HandoverRequest): Promise<HandoverPlan> {
    const { before, others, areOthersKnown, isRemoval, force, pruneData, copy } = request;
    const objects = isRemoval ? [] : packageObjects(request.package);
    // A folder does not tell what else lives in a Namespace.
    const isOccupied = () => undefined;
    const options = {
      before: handedOverObjects(before),
      after: objects,
      others,
      areOthersKnown,
      pruneData,
      isOccupied,
    };
    const planned = planObjects(options);
    const changes = copy === undefined ? planned : keepAsCopied(planned, copy.kept);
    const path = await this.#pathOf(request);
    const { text, revision } = formatFile(request, { path, objects, kept: changes.kept.map(({ object }) => object) });
    const refusal = await this.#findObstacle(path) ?? (force ? undefined : await this.#refuse(request, { path, text }));
    return {
      request,
      objects,
      changes,
      file: { path, text, digest: computeDigest(text) },
      revision,
      refusal,
    };
  }

  /** Compares the file byte for byte. */
  async isHandedOver({ file }: HandoverPlan): Promise<boolean> {
    return file !== undefined && (await readManifestFile(file.path))?.digest === file.digest;
  }

  async apply(plan: HandoverPlan): Promise<HandoverResult> {
    const { path, text } = plan.file!;
    await this.#write(path, text);
    return plan.request.isRemoval ? await this.#finishRemoval(plan) : { where: path, isConfirmed: false };
  }

  async #finishRemoval({ file, changes: { deleted } }: HandoverPlan): Promise<HandoverResult> {
    const { path, digest } = file!;
    const { addons, waitForWatcher } = this.#options;
    let remaining: readonly PackageObject[] | undefined;
    let failure: string | undefined;
    const isOver = async () => {
      const state = await addons?.readState({ path, digest, writtenAt: await readWriteTime(path) });
      failure = state?.state === "failed" ? state.reason : undefined;
      remaining = state?.state === "applied" ? await addons?.listPresent(deleted) : undefined;
      return state === undefined || remaining?.length === 0;
    };
    await waitForWatcher?.(isOver);
    if (remaining === undefined) await isOver();
    if (remaining?.length !== 0) {
      return {
        where: path,
        isConfirmed: false,
        remaining: remaining && labelsOf(remaining),
        failure,
      };
    }
    await removeIfPresent(path);
    await syncFolder(this.#folder);
    return { where: path, isConfirmed: true };
  }

  /**
   * Removes those of the files that are in this folder and still have crpe's content, without emptying them first; see
   * `removeOwnedFile`.
   *
   * @returns those that stay, because they were changed by hand
   */
  async removeOwnFiles(files: readonly OwnedFile[]): Promise<readonly OwnedFile[]> {
    const folder = await Deno.realPath(this.#folder).catch(() => this.#folder);
    const left: OwnedFile[] = [];
    for (const file of files) {
      if (file.path.startsWith(`${folder}/`) && await removeOwnedFile(file) === "changed") left.push(file);
    }
    return left;
  }

  // The name that other servers use counts, because k3s names an Addon after it. Else a package keeps the file that it has
  // in this folder.
  async #pathOf({ package: kubepkg, before, takenFiles, fileName }: HandoverRequest): Promise<string> {
    const folder = await Deno.realPath(this.#folder).catch(() => this.#folder);
    if (fileName !== undefined) return `${folder}/${fileName}`;
    const own = before?.files.find(({ path }) => parentOf(path) === folder);
    if (own !== undefined) return own.path;
    // k3s goes through subfolders, so a file above or below is taken for the same one.
    const isNear = (path: string) =>
      `${parentOf(path)}/`.startsWith(`${folder}/`) || folder.startsWith(`${parentOf(path)}/`);
    const taken = new Set([...takenFiles].filter(isNear).map((path) => stemOf(baseNameOf(path))));
    return `${folder}/${handoverFileName(kubepkg, (name) => taken.has(stemOf(name)))}`;
  }

  /** Why the folder cannot be used at all. */
  async #findObstacle(path: string): Promise<CrpeError | undefined> {
    try {
      const { isDirectory } = await Deno.stat(this.#folder);
      if (!isDirectory) return this.#unusableError(new Deno.errors.NotADirectory());
    } catch (error) {
      return this.#unusableError(error);
    }
    if ((await readManifestFile(path))?.isFolder) {
      return new CrpeError(cannot(`write manifests to ${path}`, "it is a folder", "remove it, or rename the package"));
    }
    return undefined;
  }

  #unusableError(cause: unknown): CrpeError {
    return new CrpeError(cannot(`write manifests into ${this.#folder}`, reasonOf(cause), "nothing was changed"), {
      cause,
    });
  }

  async #refuse(
    { package: { metadata: { name }, spec: { version } }, before, isRemoval }: HandoverRequest,
    { path, text }: { path: string; text: string },
  ): Promise<RefusedError | undefined> {
    const action = isRemoval ? `remove ${name}` : `hand over ${name}@${version}`;
    const current = await readManifestFile(path);
    const reason = refuseContent(path, current?.text === text ? undefined : current, before) ??
      (isRemoval ? undefined : await this.#refuseName(path));
    return reason === undefined
      ? undefined
      : new RefusedError(cannot(action, reason), byForce("--force writes it all the same"));
  }

  async #refuseName(path: string): Promise<string | undefined> {
    const fileName = baseNameOf(path);
    const stem = stemOf(fileName);
    const folder = watchedFolderOf(parentOf(path));
    const { sameStem, skips } = await findRivalFiles(folder, path);
    const advice = "rename the package";
    if (sameStem.length > 0) {
      return `k3s takes ${fileName} and ${sameStem.join(", ")} in ${folder} for one Addon, and each would delete ` +
        `the objects of the other; ${advice}`;
    }
    if (skips.length > 0) return `k3s ignores ${fileName} because of ${skips.join(", ")} in ${folder}; ${advice}`;
    // k3s also compares the folders of the path.
    const folders = parentOf(path).slice(folder.length + 1).split("/").map((_, i, all) =>
      all.slice(0, i + 1).join("/")
    );
    const disabled = await this.#options.listDisabled?.() ?? [];
    const found = disabled.find((name) => name === stem || folders.includes(name));
    if (found !== undefined) {
      return `k3s deletes ${fileName} and its objects, because it is told to disable ${found}; ${advice}`;
    }
    return isReservedStem(stem) ? `k3s itself writes files named ${fileName}; ${advice}` : undefined;
  }

  async #write(path: string, text: string): Promise<void> {
    const bytes = new TextEncoder().encode(text);
    // An unchanged file is left alone; its folder may not be synced yet after an interruption.
    if ((await readManifestFile(path))?.digest === computeDigest(bytes)) return await syncFolder(parentOf(path));
    // The temporary name is always the same, so that the file of a crash does not stay.
    const temporary = `${parentOf(path)}/.${baseNameOf(path)}.tmp`;
    await removeIfPresent(temporary);
    await writeFileDurably(path, bytes, { temporary, ownership: { mode: 0o600 } });
  }
}

function keepAsCopied(planned: ObjectChanges, kept: readonly KubeObject[]): ObjectChanges {
  const copied = kept.map((object): PackageObject => ({ identity: identifyObject(object), object, path: ["kept"] }));
  const keys = new Set(copied.map(({ identity }) => identityKey(identity)));
  return {
    ...planned,
    deleted: planned.deleted.filter(({ identity }) => !keys.has(identityKey(identity))),
    kept: copied.map((object) => ({ object, reason: "data" })),
  };
}

// A file changes whenever it is handed over again, and stays as it is when nothing changes.
function formatFile(
  { before, isRemoval, force, copy }: HandoverRequest,
  { path, objects, kept }: { path: string; objects: readonly PackageObject[]; kept: readonly PackageObject[] },
): { text: string; revision: number } {
  const last = before?.revision ?? 0;
  // The file is removed later, and no record is left that would tell what has to be kept.
  if (isRemoval) return { text: formatManifestFile([], kept.map(withoutPruning), 0), revision: last };
  // The servers of a cluster write the same bytes: k3s applies a file only if it differs from the last one.
  if (copy !== undefined) return { text: formatManifestFile(objects, kept, copy.revision), revision: copy.revision };
  const text = formatManifestFile(objects, kept, last);
  const digests = before?.files.find((file) => file.path === path)?.digests ?? [];
  const isSame = isCompleted(before) && digests.length === 1 && digests[0] === computeDigest(text);
  if (before?.kubepkg === undefined || isSame && !force) return { text, revision: last };
  return { text: formatManifestFile(objects, kept, last + 1), revision: last + 1 };
}

function refuseContent(
  path: string,
  current: ManifestFile | undefined,
  before: HandoverRequest["before"],
): string | undefined {
  if (current === undefined) return undefined;
  const owner = ownerOf(path, current.digest, before?.files ?? []);
  if (owner === "another program") {
    return `${path} was not written by crpe, and the cluster deletes what leaves it; rename the package, or move ` +
      "the file away";
  }
  if (owner === "crpe") return undefined;
  return `${path} was changed by hand since crpe wrote it, and is left alone`;
}

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "the folder does not exist, so no cluster reads it";
  if (error instanceof Deno.errors.AlreadyExists || error instanceof Deno.errors.NotADirectory) {
    return "a part of the path is a file, not a folder";
  }
  return describeSystemError(error);
}
