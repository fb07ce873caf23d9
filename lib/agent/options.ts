import type { Handover } from "../install/handover/handover.ts";
import type { PackageRecords } from "../install/package_records.ts";
import type { Digest } from "../oci/digest.ts";
import type { IngestStore } from "../store/blob_store.ts";
import type { ImportOutcome } from "./answer.ts";

/** An import over HTTP that has ended, well or not. */
export interface ImportReport {
  readonly outcome: ImportOutcome;
  /** Absent where the bundle could not be read so far. */
  readonly name?: string;
  readonly version?: string;
  readonly verdict?: string;
  readonly installedVersion?: string;
  /** Bytes of the request's body that came. */
  readonly received: number;
  /** Bytes that were written into the store. */
  readonly written: number;
  /** In milliseconds. */
  readonly duration: number;
  readonly error?: unknown;
}

/** What an agent is made of. */
export interface AgentOptions {
  readonly store: IngestStore;
  readonly records: PackageRecords;
  readonly handover: Handover | undefined;
  /** What `X-Node-Agent` says. */
  readonly node: { readonly id: string; readonly platforms: readonly string[] };
  /** Who writes has to have it; `undefined`: nobody may, as the data folder cannot be written. */
  readonly token: string | undefined;
  /** Most bytes that a bundle, or what a push sends, may have. */
  readonly maxBundle: number | undefined;
  /** How many bytes can be written. */
  readonly freeBytes: () => Promise<number | undefined>;
  /** Says, for as long as the handle lives, that content is being written which nothing refers to yet. */
  readonly takeLease: () => Promise<Disposable>;
  /** Everything that the store holds. */
  readonly listInventory: () => Promise<readonly Digest[]>;
  /** Words an error that nobody foresaw. */
  readonly describeError: (error: unknown) => string;
  readonly onImport: (report: ImportReport) => void;
  /** Told of bytes of blobs that a push has brought. */
  readonly onPushed: (bytes: number) => void;
  /** Told of each failure that is none of the client's. */
  readonly onError: (error: unknown, request: Request) => void;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** How long nothing may come of a request's body before it is given up, in milliseconds. */
  readonly stallTimeout: number;
}
