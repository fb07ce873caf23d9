import { removeIfPresent, syncFolder, writeFileDurably } from "../../files/durable.ts";
import { readTextIfPresent } from "../../files/read_if_present.ts";
import { packageObjects } from "../../kubepkg/package_objects.ts";
import { computeDigest, type Digest } from "../../oci/digest.ts";
import { RefusedError } from "../../oci/error.ts";
import type { Handover, HandoverPlace, HandoverPlan, HandoverRequest, HandoverResult } from "./handover.ts";
import { handedOverObjects } from "./handover_records.ts";
import type { K3sAddons } from "./k3s_addons.ts";
import { formatManifestFile, handoverFileName } from "./manifest_file.ts";
import { findSameStem, isReservedStem, stemOf } from "./manifest_folder.ts";
import { labelsOf, planObjects } from "./plan_objects.ts";

/** Dependencies of a `FolderHandover`. */
export interface FolderHandoverOptions {
  /**
   * Waits as long as the cluster may take to notice that a file was changed, before the file is removed.
   *
   * @param isDone whether the cluster was seen to have done it, so that the wait may end early
   */
  readonly waitForWatcher?: (isDone: () => Promise<boolean>) => Promise<void>;
  /** What k3s can be seen to have done; without it nothing is confirmed. */
  readonly addons?: Pick<K3sAddons, "listRemaining"> | undefined;
  /** Names that k3s is told to disable (`--disable`): it deletes a file of that name, and its objects. */
  readonly listDisabled?: () => Promise<readonly string[]>;
}

/**
 * Hands packages over in the folder that k3s (or another watcher) polls, with one file for each package. A file is written
 * under a name with a leading dot, which watchers ignore, and then renamed.
 *
 * The watcher deletes objects that leave a file from the cluster, but keeps the objects of a file that is removed. A file is
 * therefore emptied first, and removed after the watcher has seen the empty file. What must not be deleted stays in it.
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
      throw new Error(`Cannot write manifests into ${this.#folder}: ${reasonOf(cause)}; nothing was changed`, {
        cause,
      });
    }
  }

  async plan(request: HandoverRequest): Promise<HandoverPlan> {
    const { before, others, isRemoval, force, pruneData } = request;
    const objects = isRemoval ? [] : packageObjects(request.package);
    // A folder does not tell what else lives in a Namespace.
    const isOccupied = () => true;
    const changes = planObjects({ before: handedOverObjects(before), after: objects, others, pruneData, isOccupied });
    const path = await this.#pathOf(request);
    const current = await readTextIfPresent(path);
    let repeats = isRemoval ? 0 : before?.repeats ?? 0;
    const format = () => formatManifestFile(objects, changes.kept.map(({ object }) => object), repeats);
    let text = format();
    if (force && !isRemoval && text === current) {
      repeats++;
      text = format();
    }
    const refusal = force ? undefined : await this.#refuse(request, { path, current, text });
    return {
      request,
      objects,
      changes,
      file: { path, text, digest: computeDigest(text) },
      repeats,
      ...(refusal === undefined ? {} : { refusal }),
    };
  }

  /** Compares the file byte for byte. */
  async isHandedOver({ file }: HandoverPlan): Promise<boolean> {
    return file !== undefined && await readTextIfPresent(file.path) === file.text;
  }

  async apply({ request, file, changes }: HandoverPlan): Promise<HandoverResult> {
    const { path, text } = file!;
    await this.#write(path, text);
    if (!request.isRemoval) return { where: path, isConfirmed: false };
    let remaining: readonly string[] | undefined;
    const isDone = async () => {
      const present = await this.#options.addons?.listRemaining(file!, changes.deleted);
      remaining = present && labelsOf(present);
      return remaining?.length === 0;
    };
    await this.#options.waitForWatcher?.(isDone);
    // The file stays as long as k3s is seen not to have deleted everything.
    if (!await isDone() && remaining !== undefined) return { where: path, isConfirmed: false, remaining };
    await removeIfPresent(path);
    await syncFolder(this.#folder);
    return { where: path, isConfirmed: remaining !== undefined };
  }

  /**
   * Removes the file without emptying it first: its objects stay in the cluster, and this folder no longer manages them.
   *
   * @returns whether there was such a file
   */
  async removeFileOnly(path: string): Promise<boolean> {
    if (await readTextIfPresent(path) === undefined) return false;
    await removeIfPresent(path);
    await syncFolder(this.#folder);
    return true;
  }

  /** Reports whether a file of this folder exists. */
  async hasFile(path: string): Promise<boolean> {
    return await readTextIfPresent(path) !== undefined;
  }

  // A package keeps the file that it has in this folder.
  async #pathOf({ package: kubepkg, before, takenFiles }: HandoverRequest): Promise<string> {
    const folder = await Deno.realPath(this.#folder).catch(() => this.#folder);
    const own = before?.files?.find(({ path }) => path.slice(0, path.lastIndexOf("/")) === folder);
    if (own !== undefined) return own.path;
    return `${folder}/${handoverFileName(kubepkg, (name) => takenFiles.has(`${folder}/${name}`))}`;
  }

  async #refuse(
    { package: kubepkg, before, isRemoval }: HandoverRequest,
    { path, current, text }: { path: string; current: string | undefined; text: string },
  ): Promise<RefusedError | undefined> {
    const { metadata: { name }, spec: { version } } = kubepkg;
    const what = isRemoval ? `Cannot remove ${name}` : `Cannot hand over ${name}@${version}`;
    const refuse = (reason: string) => new RefusedError(`${what}: ${reason}`);
    const fileName = path.slice(path.lastIndexOf("/") + 1);
    if (current !== undefined && current !== text) {
      const digest = computeDigest(current);
      const owner = ownerOf(path, digest, { before, place: await this.place().catch(() => undefined) });
      if (owner === "another program") {
        return refuse(
          `${path} was not written by crpe, and the cluster deletes what leaves it; rename the package, move the ` +
            "file away, or replace it with --force",
        );
      }
      if (owner === "changed by hand") {
        return refuse(`${path} was changed by hand since crpe wrote it, and is left alone; replace it with --force`);
      }
    }
    if (isRemoval) return undefined;
    const stem = stemOf(fileName);
    const same = await findSameStem(this.#folder, fileName);
    if (same.length > 0) {
      return refuse(
        `k3s takes ${fileName} and ${same.join(", ")} in ${this.#folder} for one Addon, and each would delete ` +
          "the objects of the other; rename the package, or write it all the same with --force",
      );
    }
    const isDisabled = (await this.#options.listDisabled?.() ?? []).includes(stem);
    if (isReservedStem(stem) || isDisabled) {
      return refuse(
        `k3s itself ${isDisabled ? "deletes" : "writes"} files named ${fileName}${
          isDisabled ? " (--disable)" : ""
        }; rename the package, or write it all the same with --force`,
      );
    }
    return undefined;
  }

  async #write(path: string, text: string): Promise<void> {
    // The temporary name is always the same, so that the file of a crash does not stay.
    const slash = path.lastIndexOf("/");
    const temporary = `${path.slice(0, slash)}/.${path.slice(slash + 1)}.tmp`;
    await removeIfPresent(temporary);
    await writeFileDurably(temporary, path, new TextEncoder().encode(text), { mode: 0o600 });
  }
}

// crpe 0.1.0 recorded the folder, but not what it wrote there.
function ownerOf(
  path: string,
  digest: Digest,
  { before, place }: { before: HandoverRequest["before"]; place: HandoverPlace | undefined },
): "crpe" | "changed by hand" | "another program" {
  const recorded = before?.files?.find((file) => file.path === path);
  if (recorded !== undefined) return recorded.digests.includes(digest) ? "crpe" : "changed by hand";
  const isOfOldRecord = before !== undefined && before.files === undefined && place !== undefined &&
    "manifestsDir" in before.place && "manifestsDir" in place && before.place.manifestsDir === place.manifestsDir;
  return isOfOldRecord ? "crpe" : "another program";
}

// Deno's messages name the call and the path behind the number.
function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "the folder does not exist, so no cluster reads it";
  if (error instanceof Deno.errors.AlreadyExists || error instanceof Deno.errors.NotADirectory) {
    return "a part of the path is a file, not a folder";
  }
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/ \(os error \d+\).*$/s, "").toLowerCase();
}
