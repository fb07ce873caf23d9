import { removeIfPresent } from "../../files/durable.ts";
import { listFolder } from "../../files/if_present.ts";
import { installRank } from "../../kubepkg/install_rank.ts";
import type { KubeObject, KubePkg } from "../../kubepkg/kubepkg.ts";
import { identifyObject, identityKey, type ObjectIdentity } from "../../kubepkg/object_identity.ts";
import type { PackageId } from "../../kubepkg/package_id.ts";
import { type PackageObject, packageObjects } from "../../kubepkg/package_objects.ts";
import { parseKubePkg } from "../../kubepkg/parse_kubepkg.ts";
import { scopeOf } from "../../kubepkg/scope_of.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { cannot, CorruptError } from "../../oci/error.ts";
import { isJsonObject } from "../../oci/json.ts";
import { RECORD } from "../records/package_folders.ts";
import { formatRecord, readRecordFile, SET_ASIDE } from "../records/record_file.ts";
import type { RecordWriter } from "../records/record_writer.ts";
import { handoverFileName } from "./manifest_file.ts";

/** A place that packages are handed over to, as it is recorded. */
export type HandoverPlace = { readonly manifestsDir: string } | { readonly kubectl: true };

/** A file that crpe wrote into a manifest folder. */
export interface OwnedFile {
  /** Absolute. */
  readonly path: string;
  /**
   * The digests that its content may have: one, or several while it is being replaced, the new one last. `undefined`: any,
   * because crpe 0.1.0 did not note it.
   */
  readonly digests?: readonly Digest[];
}

/** How a hand-over relates to the release that all servers of a cluster share. */
export interface SharedMark {
  /** The generation of the cluster's release that this hand-over was compared with. */
  readonly generation: number;
  /** Taken over from another server: the content of its images need not be in this store. */
  readonly isSynced?: boolean | undefined;
  /** Changed here since, while the cluster could not be asked. */
  readonly isUnpublished?: boolean | undefined;
  /** The file was removed, because it was older than the cluster's release, whose content the cluster does not have. */
  readonly isSetAside?: boolean | undefined;
}

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
  /** Files that crpe wrote and did not remove, in this place and in earlier ones. */
  readonly files: readonly OwnedFile[];
  /**
   * Counts the hand-overs that followed the first one. It is part of a manifest file, so that no two of them are equal: k3s
   * would not apply a release again after the next one has failed.
   */
  readonly revision?: number;
  /** The removal of the package was handed over, and not confirmed yet. */
  readonly isRemoving?: boolean;
  /** Set once the hand-over was compared with the release in the cluster. */
  readonly shared?: SharedMark | undefined;
}

const LIMITS = { maxBytes: 128 * 1024 * 1024, maxDepth: 128 };

/** The records of hand-overs, one for each package, in the file `handover.json` of its folder. */
export class HandoverRecords {
  readonly #writer: RecordWriter;

  constructor(writer: RecordWriter) {
    this.#writer = writer;
  }

  /** Returns the last hand-over of a package. @throws {RecordError} when the record cannot be read */
  async read(id: PackageId): Promise<HandedOver | undefined> {
    for (const folder of await this.#writer.folders.placesOf(id)) {
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
    await this.#writer.folders.settle(id.name);
    await this.#writer.write(`${this.#writer.folders.pathOf(id)}/${RECORD.handover}`, formatRecord(document));
  }

  /** Reports whether a record of a package was set aside because it could not be read. */
  async isSetAside(id: PackageId): Promise<boolean> {
    const folders = await this.#writer.folders.placesOf(id);
    for (const folder of folders) {
      const entries = await listFolder(folder) ?? [];
      if (entries.some(({ name }) => name === `${RECORD.handover}${SET_ASIDE}`)) return true;
    }
    return false;
  }

  /** Removes the record of a package: nothing of it is handed over any more. */
  async remove(id: PackageId): Promise<void> {
    for (const folder of await this.#writer.folders.placesOf(id)) await removeIfPresent(`${folder}/${RECORD.handover}`);
  }
}

/** Reports whether the last hand-over of a package was completed, and is not being taken back. */
export function isCompleted(handedOver: HandedOver | undefined): handedOver is HandedOver & { kubepkg: KubePkg } {
  return handedOver?.kubepkg !== undefined && handedOver.attempted === undefined && !handedOver.isRemoving;
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
    ...kept.map((object): PackageObject => ({ identity: identifyKept(object), object, path: ["kept"] })),
  ];
  const found = new Map<string, PackageObject>();
  for (const object of objects) {
    const key = identityKey(object.identity);
    if (!found.has(key)) found.set(key, object);
  }
  return [...found.values()].sort((a, b) => installRank(a.identity) - installRank(b.identity));
}

// As packageObjects identifies them: the namespace of a cluster-scoped object does not count.
function identifyKept(object: KubeObject): ObjectIdentity {
  const identity = identifyObject(object);
  return scopeOf(object) === "Cluster" ? { ...identity, namespace: "" } : identity;
}

// The list of digests is left out; the record of the package has it.
function withoutStatus(kubepkg: KubePkg | undefined): KubePkg | undefined {
  if (kubepkg === undefined) return undefined;
  const { status: _, ...rest } = kubepkg;
  return rest;
}

function parseHandedOver(json: unknown, path: string): HandedOver {
  const fields = isJsonObject(json) ? json : {};
  const { place: where, kubepkg, attempted, kept, files, revision, isRemoving, shared } = fields;
  if (kubepkg === undefined && attempted === undefined) throw invalid(path);
  const place = parsePlace(where, path);
  const release = kubepkg === undefined ? undefined : parseKubePkg(kubepkg, path);
  return {
    place,
    files: files === undefined ? listFormerFiles(place, release) : parseList(files, isOwnedFile, path),
    kubepkg: release,
    ...(attempted === undefined ? {} : { attempted: parseKubePkg(attempted, path) }),
    ...(kept === undefined ? {} : { kept: parseList(kept, isKubeObject, path) }),
    ...(Number.isSafeInteger(revision) && revision as number >= 0 ? { revision: revision as number } : {}),
    ...(isRemoving === true ? { isRemoving } : {}),
    ...parseShared(shared),
  };
}

// A mark that is not valid counts as none: the hand-over is compared with the cluster as if for the first time.
function parseShared(value: unknown): Pick<HandedOver, "shared"> {
  if (!isJsonObject(value) || !Number.isSafeInteger(value.generation)) return {};
  const { generation, isSynced, isUnpublished, isSetAside } = value;
  return {
    shared: {
      generation: generation as number,
      ...(isSynced === true ? { isSynced } : {}),
      ...(isUnpublished === true ? { isUnpublished } : {}),
      ...(isSetAside === true ? { isSetAside } : {}),
    },
  };
}

// crpe 0.1.0 wrote one file for a package and did not note it.
function listFormerFiles(place: HandoverPlace, kubepkg: KubePkg | undefined): OwnedFile[] {
  if (!("manifestsDir" in place) || kubepkg === undefined) return [];
  return [{ path: `${place.manifestsDir}/${handoverFileName(kubepkg)}` }];
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

/** Reports whether a value of a record is an object of Kubernetes. */
export function isKubeObject(value: unknown): value is KubeObject {
  return isJsonObject(value) && typeof value.apiVersion === "string" && typeof value.kind === "string";
}

function isOwnedFile(value: unknown): value is OwnedFile {
  if (!isJsonObject(value) || typeof value.path !== "string") return false;
  const { digests } = value;
  return digests === undefined || Array.isArray(digests) && digests.every((it: unknown): it is Digest => isDigest(it));
}

function invalid(path: string): CorruptError {
  return new CorruptError(cannot(`use ${path}`, "it does not say where the package was handed over to"));
}
