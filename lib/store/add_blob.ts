import { createHash } from "node:crypto";
import { drain } from "../bytes/file_stream.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { createFolder, removeIfPresent } from "../files/durable.ts";
import { tryLockFile } from "../files/file_lock.ts";
import { openOwned } from "../files/inherit_owner.ts";
import { isNoSpace } from "../files/no_space.ts";
import { type Digest, splitDigest } from "../oci/digest.ts";
import { cannot, NoSpaceError } from "../oci/error.ts";
import { INGEST, temporaryPath } from "./layout.ts";

/** Options of `addBlob`. */
interface AddBlobOptions {
  /** The digest that the content must have, where one is given. */
  readonly expected?: Digest | undefined;
  /** Moves the file to the place of the blob. */
  readonly moveToTarget: (path: string, digest: Digest) => Promise<void>;
}

/**
 * Stores content whose digest is not known before it was read, such as a layer of a `docker save` archive. No repository
 * links to it yet: the caller holds a write lease until a manifest does.
 *
 * @param root the data folder
 * @returns the digest of the content
 * @throws {DigestMismatchError} when the content does not have the expected digest; nothing is stored then
 * @throws {NoSpaceError} when the disk is full
 */
export async function addBlob(
  root: string,
  body: ReadableStream<Uint8Array>,
  { expected, moveToTarget }: AddBlobOptions,
): Promise<Digest> {
  const algorithm = expected === undefined ? "sha256" : splitDigest(expected).algorithm;
  const hash = createHash(algorithm);
  await createFolder(`${root}/${INGEST}`);
  const temporary = temporaryPath(root);
  using file = await openOwned(temporary, { write: true, createNew: true });
  // A lock keeps other processes from removing the file as a stale one.
  await tryLockFile(file, temporary);
  try {
    await drain(body, async (chunk) => {
      hash.update(chunk);
      for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
    });
    const digest: Digest = `${algorithm}:${hash.digest("hex")}`;
    if (expected !== undefined && digest !== expected) {
      throw new DigestMismatchError(cannot(`accept ${expected}`, `the content has digest ${digest}`));
    }
    await file.syncData();
    await moveToTarget(temporary, digest);
    return digest;
  } catch (error) {
    await removeIfPresent(temporary);
    if (!isNoSpace(error)) throw error;
    throw new NoSpaceError(cannot("store the content of the archive", "no space left on the device"), { cause: error });
  }
}
