import { isRegistryHost, normalizeHost } from "../oci/reference.ts";
import { cannot, UsageError } from "../oci/error.ts";

/** The mirror that a client is configured to use. */
export interface Mirror {
  /** Scheme, host and port, without a trailing slash: `http://127.0.0.1:6060`. */
  readonly url: string;
  /** The registries whose images it serves, normalized by `normalizeHost`; `undefined` for all registries. */
  readonly hosts: readonly string[] | undefined;
  /** Whether clients must not fall back to the registry itself if the mirror fails. */
  readonly isOnly?: boolean;
  /** The certificates in PEM that clients must trust for `url`; see `parseCaCertificates`. */
  readonly caCertificates?: string;
}

/** The result of merging the mirror into a file. */
export interface MergedFile {
  readonly text: string;
  /** Notes for the user about the merge. */
  readonly notes: readonly string[];
}

/** One file of a client's configuration. */
export interface MirrorFile {
  /** The path on the client's machine. */
  readonly path: string;
  /**
   * Merges the mirror into the text of the file.
   *
   * @param current the current text; absent when there is no file
   * @throws {Error} when the text cannot be changed safely
   */
  readonly merge: (current?: string) => MergedFile;
}

/** Where a client's files are, and what to name in them. */
export interface PlanOptions {
  /** The path of the client's file, or of the folder with its files: `MirrorClient.path`, or another one. */
  readonly place: string;
  /** The hosts to name if the client cannot configure "all hosts". */
  readonly wellKnown: readonly string[];
}

/** A mirror in a client's configuration. */
export interface ListedMirror {
  /** Scheme, host and port, without a trailing slash: `http://127.0.0.1:6060`. */
  readonly url: string;
  /** The file of certificates that the configuration names for it. */
  readonly caFile?: string;
  /** Why the client cannot pull through it, if it is a crpe. */
  readonly problem?: string;
}

/** A kind of client, and the format of its mirror configuration. */
export interface MirrorClient {
  readonly name: string;
  /** The default path of its file, or of the folder with its files. */
  readonly path: string;
  /** How to make the client reload its configuration. */
  readonly restart: string;
  /**
   * Plans the files that configure the mirror.
   *
   * @throws {UsageError} when the client cannot use a mirror for one of the hosts, or cannot do without the fall-back
   */
  readonly plan: (mirror: Mirror, options: PlanOptions) => readonly MirrorFile[];
  /**
   * Lists the paths of all files that `plan` may return. A segment may be `*`.
   *
   * @param place as in `PlanOptions`
   */
  readonly listPaths: (place: string) => readonly string[];
  /** Lists the mirrors in the text of one of its files, in their order. */
  readonly listMirrors: (text: string) => ListedMirror[];
  /** The folder whose `HOST/*.crt` it trusts for HOST without naming them, if it has one. */
  readonly certificatesFolder?: (place: string) => string;
}

/**
 * Parses the URL of a crpe: `http://192.168.1.20:6060`.
 *
 * @throws {UsageError} when it has anything but scheme, host and port, which is all that clients accept
 */
export function parseMirrorUrl(text: string): string {
  const fail = (reason: string) => new UsageError(cannot(`use the address ${JSON.stringify(text)}`, reason));
  if (!URL.canParse(text)) throw fail("write it like http://192.168.1.20:6060");
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:") throw fail("it must begin with http:// or https://");
  // The message does not repeat the text, which contains a password.
  if (url.username !== "" || url.password !== "") {
    throw new UsageError(cannot("use the address", "it contains a login"));
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") throw fail("it must end after the port");
  return url.origin;
}

/** Parses the name of a registry. @throws {UsageError} when it is not a host as in image names */
export function parseMirroredHost(text: string): string {
  const host = normalizeHost(text);
  if (isRegistryHost(host)) return host;
  throw new UsageError(
    cannot(`use the host ${JSON.stringify(text)}`, "write it as in an image's name, such as quay.io"),
  );
}

/** Returns host and port of a mirror's URL. */
export function addressOf({ url }: Mirror): string {
  return new URL(url).host;
}

/** Returns the folder of a path. */
export function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

/** Describes, for the comment at the head of a file, what a client does if the mirror fails. */
export function describeFallback({ isOnly }: Mirror): string {
  return isOnly ? "and from nowhere else" : "and from the registry itself if that fails";
}
