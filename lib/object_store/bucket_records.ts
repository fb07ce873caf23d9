import { pause } from "../bytes/pause.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { cannot, CorruptError, CrpeError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { type ObjectLease, takeLease } from "./object_lease.ts";
import type { S3Client } from "./s3_client.ts";

/** A record in the index. */
interface RecordEntry {
  readonly digest: Digest;
  readonly object: string;
}

/** What `BucketRecords` needs. */
interface BucketRecordsOptions {
  readonly client: S3Client;
  /** Where the bucket is, for errors. */
  readonly name: string;
  /** Whether the storage obeys the conditions of writes. */
  readonly isShared: boolean;
  readonly delay?: (milliseconds: number) => Promise<void>;
}

const FOLDER = "crpe/records";
const INDEX = `${FOLDER}/index.json`;
const LOCK = `${FOLDER}/lock`;
const LEASE_MILLISECONDS = 60_000;
const WAIT_MILLISECONDS = 500;
const LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 8 };
// No record may be larger where it is read from a file.
const MAX_RECORD_BYTES = 128 * 1024 * 1024;

/**
 * The records of packages in a bucket: an index, which changes only from the state that was read, and an object for the
 * content of each record.
 */
export class BucketRecords {
  readonly #options: BucketRecordsOptions;
  readonly #client: S3Client;

  constructor(options: BucketRecordsOptions) {
    this.#options = options;
    this.#client = options.client;
  }

  /** Reads the index. @throws {CorruptError} when it is damaged */
  async readIndex(): Promise<{ entries: ReadonlyMap<string, RecordEntry>; etag: string } | undefined> {
    const found = await this.#client.read(INDEX, LIMITS.maxBytes);
    if (found === undefined) return undefined;
    const what = `${INDEX} of ${this.#options.name}`;
    const document = parseJson(found.bytes, what, LIMITS);
    const records = isJsonObject(document) && isJsonObject(document.records) ? document.records : {};
    const entries = new Map(Object.entries(records).map(([path, value]) => [path, parseEntry(path, value, what)]));
    return { entries, etag: found.etag };
  }

  /** Replaces the index. @param etag of the one that was read @returns `false` when there is another one */
  async writeIndex(entries: ReadonlyMap<string, RecordEntry>, etag: string | undefined): Promise<boolean> {
    this.#checkShared();
    // The random part makes the etag one of this write.
    const document = { write: crypto.randomUUID(), records: Object.fromEntries([...entries].sort()) };
    const bytes = new TextEncoder().encode(`${JSON.stringify(document)}\n`);
    return await this.#client.write(INDEX, bytes, etag === undefined ? { isNew: true } : { etag }) !== undefined;
  }

  /** Reads the content of a record. */
  async read(object: string): Promise<Uint8Array | undefined> {
    return (await this.#client.read(`${FOLDER}/files/${object}`, MAX_RECORD_BYTES))?.bytes;
  }

  /** Writes the content of a record. @returns its name */
  async write(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
    this.#checkShared();
    const object = crypto.randomUUID();
    await this.#client.write(`${FOLDER}/files/${object}`, bytes);
    return object;
  }

  /** Removes the content of a record. What cannot be removed stays, without effect. */
  async remove(object: string): Promise<void> {
    await this.#client.remove(`${FOLDER}/files/${object}`).catch(() => {});
  }

  /** Waits for the lock of the records. @throws {Error} when the storage has no locks */
  async lock(): Promise<ObjectLease> {
    this.#checkShared();
    const { delay = pause } = this.#options;
    const options = {
      client: this.#client,
      key: LOCK,
      ttl: LEASE_MILLISECONDS,
      owner: crypto.randomUUID(),
      isKept: true,
    };
    for (;;) {
      const lease = await takeLease(options);
      if (lease !== undefined) return lease;
      await delay(WAIT_MILLISECONDS);
    }
  }

  #checkShared(): void {
    const { isShared, name } = this.#options;
    if (isShared) return;
    throw new CrpeError(
      cannot(
        `change packages in ${name}`,
        "it ignores the conditions of writes, so that another machine's change could be lost",
      ),
    );
  }
}

// The path becomes one of a file.
function parseEntry(path: string, value: unknown, what: string): RecordEntry {
  const { digest, object } = isJsonObject(value) ? value : {};
  const isPath = path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
  if (isPath && isDigest(digest) && typeof object === "string" && /^[0-9a-f-]{36}$/.test(object)) {
    return { digest, object };
  }
  throw new CorruptError(cannot(`use ${what}`, `the entry ${JSON.stringify(path)} is not valid`));
}
