import { SharedFiles } from "../../bytes/shared_files.ts";
import { LocalCopies } from "../../cache/local_copies.ts";
import { ifPresent } from "../../files/if_present.ts";
import { readText } from "../../files/read_text.ts";
import { ObjectStore } from "../../object_store/object_store.ts";
import { probeConditions } from "../../object_store/probe_conditions.ts";
import { S3Client } from "../../object_store/s3_client.ts";
import { findProfile, type S3Credentials } from "../../object_store/s3_credentials.ts";
import { formatS3Location, parseS3Location, type S3Location } from "../../object_store/s3_location.ts";
import { S3Transport } from "../../object_store/s3_transport.ts";
import type { Settings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** How much the copies of the bucket's blobs on the local disk may take, if no limit is given. */
const DEFAULT_COPIES_BYTES = 10 * 2 ** 30;

/** How a store on object storage is opened. */
export interface ObjectStoreSettings {
  readonly io: Io;
  readonly warn: (message: string) => void;
  /** Whether blobs that are read are copied to the local disk, for the next clients. */
  readonly hasCopies?: boolean;
  /** Whether a blob counts as held only after its content was hashed once. */
  readonly isHashing?: boolean;
  /** Whether nothing is written. A login that may only read is then enough. */
  readonly isReading?: boolean;
}

/** A store on object storage. */
export interface OpenedObjectStore {
  readonly store: ObjectStore;
  readonly client: S3Client;
  /** Whether the storage obeys the conditions of writes, if anything is written. */
  readonly isShared: boolean;
  /** The copies of its blobs on the local disk; absent if there are none. */
  readonly copies: LocalCopies | undefined;
  /** Leaves the copies on the local disk to the next process. */
  readonly close: () => void;
  /** Where it is, for messages. */
  readonly name: string;
}

/**
 * Opens the store on object storage that the settings name. Its credentials come from the usual variables and files; no
 * metadata service is asked.
 *
 * @throws {UsageError} when the location is not valid, or there are no credentials
 */
export async function openObjectStore(
  url: string,
  settings: Pick<Settings, "data" | "cacheMax">,
  { io, warn, hasCopies = false, isHashing = false, isReading = false }: ObjectStoreSettings,
): Promise<OpenedObjectStore> {
  const location = readLocation(url, io);
  const readCredentials = () => readS3Credentials(io);
  await readCredentials();
  const client = new S3Client(new S3Transport({ location, readCredentials }));
  const isShared = !isReading && await probeConditions(client, `crpe/probe/${crypto.randomUUID()}`);
  if (!isShared && !isReading) {
    warn(
      `${formatS3Location(location)} ignores the conditions of writes (If-None-Match): ` +
        "each replica downloads what it needs itself, and crpe gc is refused",
    );
  }
  const files = new SharedFiles();
  const maxBytes = settings.cacheMax ?? DEFAULT_COPIES_BYTES;
  const copies = hasCopies
    ? await LocalCopies.open({ folder: `${settings.data}/copies`, files, maxBytes, warn })
    : undefined;
  if (hasCopies && copies === undefined) warn(`Blobs are not copied to ${settings.data}: another process does so`);
  const store = new ObjectStore({ client, spool: settings.data, files, copies, warn, isShared, isHashing });
  const close = () => copies?.[Symbol.dispose]();
  return { store, client, isShared, copies, close, name: formatS3Location(location) };
}

function readLocation(url: string, io: Io): S3Location {
  return parseS3Location(url, {
    endpoint: io.env("AWS_ENDPOINT_URL_S3") ?? io.env("AWS_ENDPOINT_URL"),
    region: io.env("AWS_REGION") ?? io.env("AWS_DEFAULT_REGION"),
  });
}

/** Reads the credentials from the environment, else from the shared credentials file. */
async function readS3Credentials(io: Io): Promise<S3Credentials> {
  const [accessKeyId, secretAccessKey] = [io.env("AWS_ACCESS_KEY_ID"), io.env("AWS_SECRET_ACCESS_KEY")];
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    return { accessKeyId, secretAccessKey, sessionToken: io.env("AWS_SESSION_TOKEN") };
  }
  const home = io.env("HOME");
  const file = io.env("AWS_SHARED_CREDENTIALS_FILE") ?? (home === undefined ? undefined : `${home}/.aws/credentials`);
  const profile = io.env("AWS_PROFILE") ?? "default";
  const text = file === undefined ? undefined : await ifPresent(readText(file));
  const found = text === undefined ? undefined : findProfile(text, profile);
  if (found !== undefined) return found;
  const lack = text === undefined ? "" : `; ${file} has no keys of the profile ${profile}`;
  throw new UsageError(
    cannot(
      "sign requests to the object storage",
      "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, " + `or name a file with AWS_SHARED_CREDENTIALS_FILE${lack}`,
    ),
  );
}
