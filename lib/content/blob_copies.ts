import type { ByteRange } from "../bytes/byte_range.ts";
import type { OpenedBlob } from "./source.ts";
import type { Digest } from "../oci/digest.ts";

/** A blob of a distant store that is about to be read. */
export interface CopiedBlob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly range?: ByteRange | undefined;
  /** Opens the whole blob in the distant store; `undefined` if it is missing. */
  readonly openSource: () => Promise<OpenedBlob | undefined>;
}

/** Copies of blobs that are nearer than the store. They may be lost at any time. */
export interface BlobCopies {
  /** Opens a copy, or makes one on the way; `undefined` when the store has to serve this request. */
  open(blob: CopiedBlob): Promise<OpenedBlob | undefined>;
  /** Takes over a file with the verified content of a blob. @returns whether the file was moved away */
  adopt(path: string, blob: { readonly digest: Digest; readonly size: number }): Promise<boolean>;
}
