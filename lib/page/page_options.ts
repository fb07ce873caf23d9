import type { ApiTokens } from "../agent/check_token.ts";
import type { AuditLog } from "../files/audit_log.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { PackageSelector } from "../kubepkg/package_id.ts";
import type { Digest } from "../oci/digest.ts";
import type { Platform } from "../oci/platform.ts";
import type { Reference } from "../oci/reference.ts";
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
  /** Looks for problems, as `crpe doctor` does. @param image traces this image only */
  readonly examine: (image: string | undefined) => Promise<unknown>;
  readonly outbox: PageOutbox;
  /** Absent on a server that does not pack. */
  readonly desk?: PageDesk;
  /** The content of the store for the QR code of a site; absent on a server that does not install packages. */
  readonly readInventoryCode?: () => Promise<string>;
  /** Absent while the data folder is not writable. */
  readonly images?: PageImages;
  /** Absent while the data folder is not writable. */
  readonly registries?: PageRegistries;
  /** Absent on a server that sends no bundles. */
  readonly nodes?: PageNodes;
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
  /** Describes a release. @throws {CorruptError} that names the first object which is wrong */
  readonly describe: (kubepkg: KubePkg) => PageRelease;
  /**
   * Resolves the images of a release, and packs it.
   *
   * @param options.have the inventory of a site, whose content is left out
   */
  readonly pack: (release: PageRelease, options: PackOptions, job: JobContext) => Promise<unknown>;
  readonly inventories: PageInventories;
}

/** How a release is packed. */
export interface PackOptions {
  readonly platforms: readonly Platform[];
  readonly have: HeldDigests | undefined;
}

/** The content that a site has. */
interface HeldDigests extends Pick<ReadonlySet<Digest>, "has"> {
  /** The compressor models that it can rebuild layers with, if it is known. */
  readonly models?: ReadonlySet<string> | undefined;
}

/** The inventories of sites that a pack can leave out. */
export interface PageInventories {
  readonly list: () => Promise<unknown>;
  /** @throws {CorruptError} when the bytes are no inventory, and {RegistryError} for a name that is not valid */
  readonly save: (name: string, bytes: Uint8Array) => Promise<void>;
  /** @throws {RegistryError} `NOT_FOUND` */
  readonly read: (name: string) => Promise<HeldDigests>;
  /** @throws {RegistryError} `NOT_FOUND` */
  readonly remove: (name: string) => Promise<void>;
}

/** The changes of the images in the store. */
export interface PageImages {
  readonly pull: (image: Reference, platforms: readonly Platform[], job: JobContext) => Promise<unknown>;
  /** @throws {RefusedError} when something needs the image, and {RegistryError} `NOT_FOUND` */
  readonly remove: (image: Reference) => Promise<unknown>;
}

/** The registries that images come from. */
export interface PageRegistries {
  readonly list: () => Promise<unknown>;
  /** Adds a registry, or replaces its settings. @param settings the fields of a host in the configuration */
  readonly save: (host: string, settings: unknown) => Promise<unknown>;
  /** Asks a registry. @param settings those to try; `undefined` for those that are in use */
  readonly test: (host: string, settings: unknown) => Promise<unknown>;
  /** @throws {RegistryError} `NOT_FOUND` */
  readonly remove: (host: string) => Promise<void>;
}

/** An agent that is to be added. */
export interface NodeAddition {
  /** Its address, or the link with a one-time code that its QR code has. */
  readonly address: string;
  readonly token: string | undefined;
  /** Additional certificate authorities, as PEM. */
  readonly ca: string | undefined;
  /** The fingerprint of its certificate, which is then the only one that is accepted. */
  readonly fingerprint?: string | undefined;
  /** Whether the token may be sent unencrypted to another machine. */
  readonly isInsecureAllowed: boolean;
}

/** How a bundle is sent. */
export interface SendOptions {
  /** Installs even if the version rule forbids it. */
  readonly force: boolean;
  /** Deletes data that leaves the package. */
  readonly pruneData: boolean;
}

/** The agents that bundles are sent to. Each is named by its address. */
export interface PageNodes {
  /** Lists the agents that were added, and what is installed on each. */
  readonly list: () => Promise<unknown>;
  /** Looks for agents in this machine's networks. */
  readonly search: () => Promise<unknown>;
  readonly add: (addition: NodeAddition) => Promise<unknown>;
  readonly remove: (url: string) => Promise<void>;
  /** Asks what sending a bundle would change. */
  readonly plan: (url: string, bundle: Digest, options: SendOptions) => Promise<unknown>;
  readonly send: (url: string, bundle: Digest, options: SendOptions & { readonly job: JobContext }) => Promise<unknown>;
  /** Passes a change of a package on to the agent, and returns its answer. */
  readonly change: (
    url: string,
    method: string,
    path: string,
  ) => Promise<{ readonly status: number; readonly bytes: Uint8Array<ArrayBuffer> }>;
}

/** The packed bundles of the server. */
export interface PageOutbox {
  /** Lists the bundles, and what interrupted packs left. */
  readonly list: () => Promise<unknown>;
  /** Opens the file of a bundle; `undefined` if there is none. One of its functions closes it. */
  readonly open: (digest: Digest) => Promise<PageFile | undefined>;
  /** Removes a bundle, and reports whether it was there. */
  readonly remove: (digest: Digest) => Promise<boolean>;
  /** Removes what interrupted packs left, and no pack is writing. */
  readonly removePartials: () => Promise<unknown>;
}

/** The file of a bundle. */
interface PageFile {
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
  /** Asks the cluster what it has of a package. */
  readonly readStatus: (selector: PackageSelector) => Promise<unknown>;
}

/** The dependencies and settings of the page. */
export interface PageOptions {
  readonly source: PageSource;
  /** The tokens of changes, and of reading from another machine. */
  readonly tokens: ApiTokens;
  readonly codes: PairingCodes;
  /** Logs changes. */
  readonly audit?: AuditLog | undefined;
  /** Whether a client on this machine needs the token too, because the registry requires a login. */
  readonly isPrivate: boolean;
  /** Whether packages must be signed: the page then neither pulls images nor changes registries. */
  readonly acceptsOnlySigned: boolean;
  readonly isOwnHost: (hostname: string, localAddress?: string) => boolean;
  readonly describeError: (error: unknown) => string;
  /** Called for each failure that the client has not caused. */
  readonly onError: (error: unknown, request: Request) => void;
}
