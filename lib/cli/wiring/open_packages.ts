import { PackageRecords } from "../../install/package_records.ts";
import { SharedRecords } from "../../install/records/shared_records.ts";
import { computeDigest, splitDigest } from "../../oci/digest.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { readSettings, type Settings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import type { Invocation } from "../command_line/command.ts";
import { createWarning } from "../console/describe_error.ts";
import { warnOfData } from "./check_data.ts";
import type { AnyStore } from "./open_store.ts";
import type { ObjectStoreSettings, OpenedObjectStore } from "./open_object_store.ts";

/** The store and the records of installed packages. */
export interface OpenedPackages {
  readonly store: AnyStore;
  readonly records: PackageRecords;
  /** Where they are, for messages. */
  readonly name: string;
}

type OpenPackagesOptions = Pick<ObjectStoreSettings, "warn" | "isHashing" | "isReading">;
type PlaceSettings = Pick<Settings, "data" | "store" | "cacheMax">;

/**
 * Opens the store and the records of packages: those of the data folder or, with a store on object storage, those in the
 * bucket, of which the data folder has a current copy.
 *
 * @throws {UsageError} when the location of the store is not valid, or there are no credentials
 */
export async function openPackages(
  settings: PlaceSettings,
  io: Io,
  options: OpenPackagesOptions,
): Promise<OpenedPackages> {
  const { data, store: url } = settings;
  if (url === undefined) {
    return { store: openFolder(data, options), records: new PackageRecords(data), name: data };
  }
  const opened = await openBucket({ ...settings, store: url }, io, options);
  return { store: opened.store, records: await openBucketRecords(data, opened), name: opened.name };
}

/** Opens the store that the settings name, without upstreams. @throws as `openPackages` */
export async function openPlainStore(
  settings: PlaceSettings,
  io: Io,
  options: OpenPackagesOptions,
): Promise<AnyStore> {
  const { data, store: url } = settings;
  return url === undefined
    ? openFolder(data, options)
    : (await openBucket({ ...settings, store: url }, io, options)).store;
}

function openFolder(data: string, { warn, isHashing = false, isReading = false }: OpenPackagesOptions): DiskStore {
  return new DiskStore(data, { warn, isHashing, isReadOnly: isReading });
}

async function openBucket(
  { store, ...settings }: PlaceSettings & { readonly store: string },
  io: Io,
  options: OpenPackagesOptions,
): Promise<OpenedObjectStore> {
  const { openObjectStore } = await import("./open_object_store.ts");
  return await openObjectStore(store, settings, { io, ...options });
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
  const records = new PackageRecords(data, shared);
  await records.refresh();
  return records;
}
