import { isRegistryHost, normalizeHost } from "../oci/reference.ts";

/** The mirror that clients are to use. */
export interface Mirror {
  /** Scheme, host and port, without a slash at the end: `http://127.0.0.1:6060`. */
  readonly url: string;
  /** Whose images it serves, as `normalizeHost` writes them; `undefined`: everybody's. */
  readonly hosts: readonly string[] | undefined;
  /** Whether the registry itself is not to be asked where the mirror has failed. */
  readonly isOnly?: boolean;
}

/** What one file of a client's configuration comes to. */
export interface MergedFile {
  readonly text: string;
  /** What a person should know of how it came about. */
  readonly notes: readonly string[];
}

/** One file of a client's configuration. */
export interface MirrorFile {
  /** Where it is, below the client's own place. Empty: the client's place is the file. */
  readonly name: string;
  /**
   * Puts the mirror into the file.
   *
   * @param current what the file holds; absent: there is none
   * @throws {Error} when it is not understood well enough to be changed without harm
   */
  readonly merge: (current?: string) => MergedFile;
}

/** A kind of client, and how it is told of a mirror. */
export interface MirrorClient {
  readonly name: string;
  /** Its file, or the folder that its files are in, on every machine. */
  readonly path: string;
  /** What has to be done for it to take notice. */
  readonly restart: string;
  /**
   * The files that tell it.
   *
   * @param wellKnown hosts to be named where it has no way to say "all"
   * @throws {TypeError} when it cannot be told of one of the hosts, or not to ask anybody else
   */
  readonly plan: (mirror: Mirror, wellKnown: readonly string[]) => readonly MirrorFile[];
  /** The addresses of mirrors that the text of one of its files names, in their order: `http://127.0.0.1:6060`. */
  readonly listMirrors: (text: string) => string[];
}

/**
 * Reads the address of a crpe: `http://192.168.1.20:6060`.
 *
 * @throws {TypeError} when it is none: clients want scheme, host and port, and nothing else
 */
export function parseMirrorUrl(text: string): string {
  const fail = (reason: string) => new TypeError(`Cannot use the address ${JSON.stringify(text)}: ${reason}`);
  if (!URL.canParse(text)) throw fail("write it like http://192.168.1.20:6060");
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:") throw fail("it has to begin with http:// or https://");
  // Where a password is, it would be shown.
  if (url.username !== "" || url.password !== "") throw new TypeError("Cannot use the address: it has a login in it");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") throw fail("it has to end after the port");
  return url.origin;
}

/** Reads the name of a registry. @throws {TypeError} */
export function parseMirroredHost(text: string): string {
  const host = normalizeHost(text);
  if (isRegistryHost(host)) return host;
  throw new TypeError(`Cannot use the host ${JSON.stringify(text)}: write it as in an image's name, such as quay.io`);
}

/** Host and port of a mirror's address. */
export function addressOf({ url }: Mirror): string {
  return new URL(url).host;
}

/** What a client does where the mirror has failed, for the head of a file. */
export function describeFallback({ isOnly }: Mirror): string {
  return isOnly ? "and from nowhere else" : "and from the registry itself where that fails";
}
