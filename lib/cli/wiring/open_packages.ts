import { PackageRecords } from "../../install/package_records.ts";
import { SharedRecords } from "../../install/records/shared_records.ts";
import { computeDigest, splitDigest } from "../../oci/digest.ts";
import type { DeltaStore, GrantingStore, PieceStore, SharedStore, TaggedStore } from "../../store/blob_store.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { readSettings, type Settings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import type { Invocation } from "../command_line/command.ts";
import { createWarning } from "../console/describe_error.ts";
import { warnOfData } from "./check_data.ts";
import type { OpenedObjectStore } from "./open_object_store.ts";

/** The store and the records of installed packages. */
export interface OpenedPackages {
  readonly store: PieceStore & DeltaStore & GrantingStore & TaggedStore & Partial<SharedStore>;
  readonly records: PackageRecords;
  /** Where they are, for messages. */
  readonly name: string;
}

/** Options of `openPackages`. */
export interface OpenPackagesOptions {
  readonly warn: (message: string) => void;
  /** Whether a blob counts as held only after its content was hashed once. */
  readonly isHashing?: boolean;
  /** Whether nothing is changed. */
  readonly isReading?: boolean;
}

/**
 * Opens the store and the records of packages: those of the data folder or, with a store on object storage, those in the
 * bucket, of which the data folder has a current copy.
 *
 * @throws {UsageError} when the location of the store is not valid, or there are no credentials
 */
export async function openPackages(
  settings: Pick<Settings, "data" | "store" | "cacheMax">,
  io: Io,
  { warn, isHashing = false, isReading = false }: OpenPackagesOptions,
): Promise<OpenedPackages> {
  const { data, store: url } = settings;
  if (url === undefined) {
    const store = new DiskStore(data, { warn, isHashing, isReadOnly: isReading });
    return { store, records: new PackageRecords(data), name: data };
  }
  const { openObjectStore } = await import("./open_object_store.ts");
  const opened = await openObjectStore(url, settings, { io, warn, isHashing, isReading });
  return { store: opened.store, records: await openBucketRecords(data, opened), name: opened.name };
}

/** Opens the records of packages that a command reads. @throws as `openPackages` */
export async function openRecords(invocation: Invocation, io: Io): Promise<PackageRecords> {
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  if (settings.store === undefined) await warnOfData(settings.data, io);
  return (await openPackages(settings, io, { warn: createWarning(io), isReading: true })).records;
}

/** Opens the records of packages in a bucket, and makes the copy of them current. @param data the data folder */
export async function openBucketRecords(
  data: string,
  { client, name, isShared }: Pick<OpenedObjectStore, "client" | "name" | "isShared">,
): Promise<PackageRecords> {
  const { BucketRecords } = await import("../../object_store/bucket_records.ts");
  const folder = `${data}/buckets/${splitDigest(computeDigest(name)).hex.slice(0, 16)}`;
  const shared = new SharedRecords(folder, new BucketRecords({ client, name, isShared }));
  const records = new PackageRecords(data, { shared });
  await records.refresh();
  return records;
}
