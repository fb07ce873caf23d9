import type { AuditLog } from "../files/audit_log.ts";
import type { Handover } from "../install/handover/handover.ts";
import type { PackageRecords } from "../install/package_records.ts";
import type { ImportStore } from "../store/blob_store.ts";
import type { Digest } from "../oci/digest.ts";
import type { SiteTrust } from "../install/trust.ts";
import type { TrustVerdict } from "../signature/trust_policy.ts";
import type { ImportOutcome } from "./answer.ts";
import type { ApiTokens } from "./check_token.ts";

/** An import over HTTP that has succeeded or failed. */
export interface ImportReport {
  readonly outcome: ImportOutcome;
  /** Absent if the import failed before the first entry of the bundle was read. */
  readonly name?: string;
  readonly namespace?: string;
  readonly version?: string;
  readonly verdict?: string;
  readonly installedVersion?: string;
  readonly trust?: TrustVerdict;
  /** The bytes of the request body that were received. */
  readonly received: number;
  /** The bytes that were written into the store. */
  readonly written: number;
  /** The duration in milliseconds. */
  readonly duration: number;
  readonly error?: unknown;
}

/** Where an agent answers over TLS, with a certificate of its own. */
export interface SecureAddress {
  /** The URL that it listens on. */
  readonly url: string;
  /** The fingerprint of the certificate: `sha256:` and its SHA-256 in hex. */
  readonly fingerprint: string;
}

/** The addresses of a request's connection, as far as they are known. */
export interface AgentConnection {
  /** The IP address at which the connection was accepted. */
  readonly localAddress?: string;
  /** The IP address of the client. */
  readonly remoteAddress?: string;
}

/** The dependencies and settings of an agent. */
export interface AgentOptions {
  readonly store: ImportStore;
  readonly records: PackageRecords;
  readonly handover: Handover | undefined;
  /** The content of the header `X-Node-Agent`. */
  readonly node: {
    readonly id: string;
    readonly platforms: readonly string[];
    /** Where the agent also answers over TLS. */
    readonly readSecure?: (() => SecureAddress | undefined) | undefined;
  };
  /** The tokens that write requests must have. */
  readonly tokens: ApiTokens;
  /**
   * Reports whether a host name, or an IP address as in a URL, is the agent's own.
   *
   * @param localAddress the address at which the connection was accepted, if it is known
   */
  readonly isOwnHost: (hostname: string, localAddress?: string) => boolean;
  /** Reads whom the site trusts now, for each import; `undefined`: signatures are not required. */
  readonly readTrust?: (() => Promise<SiteTrust | undefined>) | undefined;
  /** The maximum size of a bundle, or of all blobs of a push, in bytes; `undefined` for no limit. */
  readonly maxBundle: number | undefined;
  /** Returns the free space in bytes; `undefined` if it is not known. */
  readonly freeBytes: () => Promise<number | undefined>;
  /** Takes a lease: until it is disposed of, garbage collection keeps content that nothing refers to yet. */
  readonly takeLease: () => Promise<Disposable>;
  /** Lists the digests of all content in the store. */
  readonly listInventory: () => Promise<readonly Digest[]>;
  /** Throws when an answer may lack content, because the place that it was read from is not there any more. */
  readonly checkPlace?: () => void;
  /** Formats an unexpected error for the client. */
  readonly describeError: (error: unknown) => string;
  /** Logs imports; absent where nothing can be imported. */
  readonly audit?: AuditLog | undefined;
  readonly onImport: (report: ImportReport) => void;
  /** Called with the number of bytes that an upload of a blob has received. */
  readonly onPushed: (bytes: number) => void;
  /** Called for each failure that the client has not caused. */
  readonly onError: (error: unknown, request: Request) => void;
  /** A monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** See `RequestBodyOptions`. */
  readonly stallTimeout: number;
}
