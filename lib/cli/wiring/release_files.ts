import { readBounded } from "../../bytes/read_bounded.ts";
import { isVersion } from "../../kubepkg/kubepkg.ts";
import { cannot, CorruptError, CrpeError, RefusedError } from "../../oci/error.ts";
import { verifyDetached } from "../../signature/detached_signature.ts";
import type { PublicKey } from "../../signature/keys.ts";
import { isUrl, nameOfInput, openUrl, readUrl } from "./read_url.ts";

/** The file of a release that has the executable for this machine. Its checksum is signed. */
export interface ReleaseFile {
  readonly version: string;
  /** Its name in the folder of the release. */
  readonly file: string;
  /** The SHA-256 that it must have, in hex. */
  readonly sha256: string;
  /** Opens it. The content is not verified. */
  open(): Promise<ReadableStream<Uint8Array>>;
}

const SUMS = "SHA256SUMS";
const MAX_SUMS = 1024 * 1024;
const MAX_SIGNATURE = 4096;

/**
 * Finds the file for a platform in the files of a release.
 *
 * @param from the folder or URL with the files
 * @param key the key that must have signed the checksums
 * @param platform in the words of Node, as npm packages are named: `linux-x64`
 * @throws {RefusedError} when the checksums are not signed with the key
 * @throws {Error} when the release has no file, or more than one, for the platform
 */
export async function findRelease(
  from: string,
  key: PublicKey,
  platform = platformOfMachine(),
): Promise<ReleaseFile> {
  const shown = nameOfInput(from);
  const sums = await readSmall(from, SUMS, MAX_SUMS);
  const signature = new TextDecoder().decode(await readSmall(from, `${SUMS}.sig`, MAX_SIGNATURE));
  if (!verifyDetached(sums, signature, key)) {
    throw new RefusedError(
      cannot(`use ${shown}`, `its ${SUMS} is not signed with key ${key.id}`, "nothing was changed"),
    );
  }
  const lines = new TextDecoder().decode(sums).matchAll(
    /^([0-9a-f]{64}) {2}(crpe-([a-z0-9]+-[a-z0-9]+)-(\d\S*)\.tgz)$/gm,
  );
  const found = [...lines].filter(([, , , machine]) => machine === platform);
  const [line] = found;
  if (line === undefined || found.length > 1) {
    const has = line === undefined ? "no executable" : `${found.length} executables`;
    throw new CrpeError(cannot(`use ${shown}`, `it has ${has} for ${platform}`));
  }
  const [, sha256 = "", file = "", , version = ""] = line;
  if (!isVersion(version)) throw new CorruptError(cannot(`use ${shown}`, `${file} has no semantic version`));
  return { version, file, sha256, open: () => openFile(from, file) };
}

function platformOfMachine(): string {
  const { os, arch } = Deno.build;
  return `${os === "windows" ? "win32" : os}-${arch === "x86_64" ? "x64" : "arm64"}`;
}

async function readSmall(from: string, name: string, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const where = locate(from, name);
  const bytes = isUrl(from) ? await readUrl(where, limit) : await readBounded(await openFile(from, name), where, limit);
  return bytes as Uint8Array<ArrayBuffer>;
}

async function openFile(from: string, name: string): Promise<ReadableStream<Uint8Array>> {
  const where = locate(from, name);
  return isUrl(from) ? await openUrl(where) : (await Deno.open(where)).readable;
}

// A URL may have a query, which is part of every file's address.
function locate(from: string, name: string): string {
  if (!isUrl(from)) return `${from}/${name}`;
  const url = new URL(from);
  url.pathname = `${url.pathname.replace(/\/$/, "")}/${name}`;
  return url.href;
}
