import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import type { Platform } from "../oci/platform.ts";
import type { JobContext } from "./page_jobs.ts";
import type { PairingCodes } from "./pairing_codes.ts";

/** A request's connection, as far as the page needs it. */
export interface PageConnection {
  /** The IP address of the client. */
  readonly remoteAddress: string;
  /** The IP address at which the connection was accepted. */
  readonly localAddress: string;
}

/** What the page shows, and what it can do. Every result is sent as JSON. */
export interface PageSource {
  /** The state of the server. */
  readonly readStatus: () => Promise<Record<string, unknown>>;
  /** The tagged images, with their packages. */
  readonly listImages: () => Promise<unknown>;
  /** The installed packages with their earlier versions. */
  readonly listPackages: () => Promise<unknown>;
  /** Looks for problems, as `crpe doctor` does. */
  readonly examine: () => Promise<unknown>;
  readonly outbox: PageOutbox;
  /** Absent on a server that does not pack. */
  readonly desk?: PageDesk;
  /** Absent on a server that does not install packages, or whose data folder is not writable. */
  readonly actions?: PageActions;
}

/** A release that is to be packed. */
export interface PageRelease {
  readonly kubepkg: KubePkg;
  readonly name: string;
  readonly namespace: string;
  readonly version: string;
  readonly images: readonly string[];
  /** The number of Kubernetes objects. */
  readonly objects: number;
  /** What will not work at the site, a sentence each. */
  readonly warnings: readonly string[];
}

/** What packs releases into the outbox. */
export interface PageDesk {
  /** Reads the releases of a JSON or YAML text. @throws {CorruptError} that names the first field which is wrong */
  readonly parse: (text: Uint8Array) => PageRelease[];
  /** Resolves the images of a release, and packs it. */
  readonly pack: (release: PageRelease, platforms: readonly Platform[], job: JobContext) => Promise<unknown>;
}

/** The packed bundles of the server. */
export interface PageOutbox {
  readonly list: () => Promise<unknown>;
  /** Opens the file of a bundle; `undefined` if there is none. One of its functions closes it. */
  readonly open: (digest: Digest) => Promise<PageFile | undefined>;
  /** Removes a bundle, and reports whether it was there. */
  readonly remove: (digest: Digest) => Promise<boolean>;
}

/** The file of a bundle. */
export interface PageFile {
  /** What a browser calls it. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  readonly stream: (start: number, length: number) => Promise<ReadableStream<Uint8Array>>;
  readonly close: () => void;
}

/** A change of an installed package. */
export interface PackageChange {
  readonly name: string;
  readonly namespace: string | undefined;
  /** The version to roll back to. */
  readonly to?: string | undefined;
  /** Whether a removal only says what would happen. */
  readonly dryRun?: boolean;
}

/** The changes that the page offers besides those of the agent's API. */
export interface PageActions {
  readonly rollBack: (change: PackageChange) => Promise<unknown>;
  readonly remove: (change: PackageChange) => Promise<unknown>;
}

/** The dependencies and settings of the page. */
export interface PageOptions {
  readonly source: PageSource;
  /** The token of changes, and of reading from another machine; `undefined` if the data folder is not writable. */
  readonly token: string | undefined;
  readonly codes: PairingCodes;
  /** Whether a client on this machine needs the token too, because the registry requires a login. */
  readonly isPrivate: boolean;
  readonly isOwnHost: (hostname: string, localAddress?: string) => boolean;
  readonly describeError: (error: unknown) => string;
  /** Called for each failure that the client has not caused. */
  readonly onError: (error: unknown, request: Request) => void;
}
