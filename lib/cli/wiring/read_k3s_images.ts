import { MAX_IMAGE_LIST_BYTES, parseImageList } from "../../bundle/image_list.ts";
import { readBounded } from "../../bytes/read_bounded.ts";
import type { Invocation } from "../command_line/command.ts";
import type { Io } from "../console/io.ts";
import { openFile } from "./open_bundle.ts";
import { isUrl, nameOfInput, readUrl } from "./read_url.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** The system images of a k3s release. */
export interface K3sImages {
  /** `v1.34.1+k3s1` */
  readonly version: string;
  readonly images: readonly string[];
}

const K3S_VERSION = /^v?([0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.]+)?\+k3s[0-9]+)$/;
const RELEASES = "https://github.com/k3s-io/k3s/releases/download";

/** The address at which the k3s project publishes the list of the images of a release. */
export function formatK3sImagesUrl(version: string): string {
  return `${RELEASES}/${encodeURIComponent(version)}/k3s-images.txt`;
}

/**
 * Reads a version of k3s.
 *
 * @returns with its leading `v`
 * @throws {UsageError} when the text is none
 */
export function parseK3sVersion(text: string): string {
  const [, version] = K3S_VERSION.exec(text) ?? [];
  if (version !== undefined) return `v${version}`;
  throw new UsageError(cannot(`use --k3s ${JSON.stringify(text)}`, "write a release of k3s, like v1.34.1+k3s1"));
}

/** Where the list of the system images of a k3s release is. */
interface K3sImageList {
  readonly version: string;
  /** A file, a URL, or `-`. */
  readonly where: string;
}

/**
 * Finds the list of the system images of the release that `--k3s` names: `--k3s-images`, or else that of the k3s project.
 * Nothing is read. `undefined` without `--k3s`.
 *
 * @throws {UsageError} when the flags do not fit together
 */
export function chooseK3sImages(invocation: Invocation, { offline }: { offline: boolean }): K3sImageList | undefined {
  const [given, list] = [invocation.flag("k3s"), invocation.flag("k3s-images")];
  if (given === undefined) {
    if (list === undefined) return undefined;
    throw new UsageError(cannot("use --k3s-images without --k3s", "name the release of k3s"));
  }
  const version = parseK3sVersion(given);
  if (list === undefined && offline) {
    throw new UsageError(
      cannot("use --k3s with --offline alone", "give the list of its images with --k3s-images FILE"),
    );
  }
  return { version, where: list ?? formatK3sImagesUrl(version) };
}

/**
 * Reads the system images of a k3s release.
 *
 * @throws {CorruptError} when the list is none
 */
export async function readK3sImages({ version, where }: K3sImageList, io: Io): Promise<K3sImages> {
  const what = nameOfInput(where);
  const bytes = isUrl(where)
    ? await readUrl(where, MAX_IMAGE_LIST_BYTES)
    : await readBounded(await openFile(where, io), what, MAX_IMAGE_LIST_BYTES);
  return { version, images: parseImageList(bytes, what) };
}
