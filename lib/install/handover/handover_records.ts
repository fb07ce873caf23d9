import { removeIfPresent } from "../../files/durable.ts";
import { installRank } from "../../kubepkg/install_rank.ts";
import type { KubeObject, KubePkg } from "../../kubepkg/kubepkg.ts";
import { identifyObject, identityKey } from "../../kubepkg/object_identity.ts";
import type { PackageId } from "../../kubepkg/package_id.ts";
import { type PackageObject, packageObjects } from "../../kubepkg/package_objects.ts";
import { parseKubePkg } from "../../kubepkg/parse_kubepkg.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { CorruptError } from "../../oci/error.ts";
import { isJsonObject } from "../../oci/json.ts";
import { PackageFolders, RECORD } from "../records/package_folders.ts";
import { formatRecord, readRecordFile, RecordWriter } from "../records/record_file.ts";
import type { HandoverPlace, OwnedFile } from "./handover.ts";

/** What is recorded of the hand-over of a package. */
export interface HandedOver {
  readonly place: HandoverPlace;
  /**
   * The release that was handed over last. Not necessarily the installed release, which may have been imported without a
   * hand-over. `undefined`: no hand-over was completed yet.
   */
  readonly kubepkg?: KubePkg | undefined;
  /** A release whose hand-over began and was not completed: some of its objects may be in the cluster. */
  readonly attempted?: KubePkg | undefined;
  /** Objects that left the package and stayed in the cluster. */
  readonly kept?: readonly KubeObject[];
  /** Files that crpe wrote. `undefined` in a record of crpe 0.1.0, which wrote one file and did not note its digest. */
  readonly files?: readonly OwnedFile[] | undefined;
  /** How often equal content was handed over again by force. */
  readonly repeats?: number;
  /** The removal of the package was handed over, and not confirmed yet. */
  readonly isRemoving?: boolean;
}

const LIMITS = { maxBytes: 128 * 1024 * 1024, maxDepth: 128 };

/** The records of hand-overs, one for each package, in the file `handover.json` of its folder. */
export class HandoverRecords {
  readonly #folders: PackageFolders;
  readonly #writer: RecordWriter;

  /** @param data the data folder */
  constructor(data: string, randomName?: () => string) {
    this.#folders = new PackageFolders(data);
    this.#writer = new RecordWriter(data, randomName);
  }

  /** Returns the last hand-over of a package. @throws {RecordError} when the record cannot be read */
  async read(id: PackageId): Promise<HandedOver | undefined> {
    for (const folder of await this.#folders.placesOf(id)) {
      const path = `${folder}/${RECORD.handover}`;
      const found = await readRecordFile(path, LIMITS, (document) => parseHandedOver(document, path));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Records a hand-over durably. The caller holds the installation lock. */
  async write(id: PackageId, handedOver: HandedOver): Promise<void> {
    const { kubepkg, attempted, ...rest } = handedOver;
    const document = { ...rest, kubepkg: withoutStatus(kubepkg), attempted: withoutStatus(attempted) };
    await this.#folders.settle(id.name);
    await this.#writer.write(`${this.#folders.pathOf(id)}/${RECORD.handover}`, formatRecord(document));
  }

  /** Removes the record of a package: nothing of it is handed over any more. */
  async remove(id: PackageId): Promise<void> {
    for (const folder of await this.#folders.placesOf(id)) await removeIfPresent(`${folder}/${RECORD.handover}`);
  }
}

/** Reports whether two places are the same. */
export function isSamePlace(a: HandoverPlace, b: HandoverPlace): boolean {
  if ("kubectl" in a || "kubectl" in b) return "kubectl" in a && "kubectl" in b;
  return a.manifestsDir === b.manifestsDir;
}

/**
 * All objects that a package may have in the cluster, in the order of installation, each once: of the release that was
 * handed over, of one whose hand-over was interrupted, and those that were kept.
 */
export function handedOverObjects(handedOver: HandedOver | undefined): PackageObject[] {
  if (handedOver === undefined) return [];
  const { kubepkg, attempted, kept = [] } = handedOver;
  const objects = [
    ...kubepkg === undefined ? [] : packageObjects(kubepkg),
    ...attempted === undefined ? [] : packageObjects(attempted),
    ...kept.map((object): PackageObject => ({ identity: identifyObject(object), object, path: ["kept"] })),
  ];
  const found = new Map<string, PackageObject>();
  for (const object of objects) {
    const key = identityKey(object.identity);
    if (!found.has(key)) found.set(key, object);
  }
  return [...found.values()].sort((a, b) => installRank(a.identity) - installRank(b.identity));
}

// The list of digests is left out; the record of the package has it.
function withoutStatus(kubepkg: KubePkg | undefined): KubePkg | undefined {
  if (kubepkg === undefined) return undefined;
  const { status: _, ...rest } = kubepkg;
  return rest;
}

function parseHandedOver(json: unknown, path: string): HandedOver {
  const { place, kubepkg, attempted, kept, files, repeats, isRemoving } = isJsonObject(json) ? json : {};
  if (kubepkg === undefined && attempted === undefined) throw invalid(path);
  return {
    place: parsePlace(place, path),
    ...(kubepkg === undefined ? {} : { kubepkg: parseKubePkg(kubepkg, path) }),
    ...(attempted === undefined ? {} : { attempted: parseKubePkg(attempted, path) }),
    ...(kept === undefined ? {} : { kept: parseList(kept, isKubeObject, path) }),
    ...(files === undefined ? {} : { files: parseList(files, isOwnedFile, path) }),
    ...(Number.isSafeInteger(repeats) ? { repeats: repeats as number } : {}),
    ...(isRemoving === true ? { isRemoving } : {}),
  };
}

function parsePlace(place: unknown, path: string): HandoverPlace {
  if (isJsonObject(place)) {
    if (place.kubectl === true) return { kubectl: true };
    if (typeof place.manifestsDir === "string") return { manifestsDir: place.manifestsDir };
  }
  throw invalid(path);
}

function parseList<T>(value: unknown, isItem: (item: unknown) => item is T, path: string): readonly T[] {
  if (Array.isArray(value) && value.every(isItem)) return value;
  throw invalid(path);
}

function isKubeObject(value: unknown): value is KubeObject {
  return isJsonObject(value) && typeof value.apiVersion === "string" && typeof value.kind === "string";
}

function isOwnedFile(value: unknown): value is OwnedFile {
  return isJsonObject(value) && typeof value.path === "string" && Array.isArray(value.digests) &&
    value.digests.every((digest: unknown): digest is Digest => isDigest(digest));
}

function invalid(path: string): CorruptError {
  return new CorruptError(`Cannot use ${path}: it does not say where the package was handed over to`);
}
