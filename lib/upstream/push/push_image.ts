import { runBounded } from "../../content/bounded_tasks.ts";
import { decideCosignTag, subjectOfCosignTag } from "../../oci/cosign_tag.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Descriptor } from "../../oci/manifest.ts";
import type { EndpointClient } from "../endpoint_client.ts";
import { fetchManifest } from "../manifest_request.ts";
import { hasBlob, pushBlob } from "./push_blob.ts";
import { addToReferrers } from "./add_to_referrers.ts";
import { hasManifest, pushManifest } from "./push_manifest.ts";

/** An image, complete, and where it is pushed to. */
export interface ImageToPush {
  /** The repository on the registry. */
  readonly path: string;
  /** Absent for an image that is pushed by its digest. */
  readonly tag?: string | undefined;
  /** Children before the manifests that refer to them; the last one is the image's. */
  readonly manifests: readonly { readonly descriptor: Descriptor; readonly bytes: Uint8Array }[];
  /** Configs and layers, in the order in which the source reads them best. */
  readonly blobs: readonly Descriptor[];
  /** Opens a blob from a position before its end. */
  openBlob(blob: Descriptor, start: number): Promise<ReadableStream<Uint8Array>>;
}

/** What a push of an image did. */
export interface PushedImage {
  /** The number of blobs that were sent, and of bytes, repeated ones included. */
  readonly sent: { readonly blobs: number; readonly bytes: number };
  /** The number of blobs that the registry had, in this repository or in another one. */
  readonly present: number;
  /** The number of manifests that were sent. */
  readonly manifests: number;
  /** Set if nothing was sent, because the tag leads to other signatures. */
  readonly isLeftOut?: true;
}

/** Options of an `ImagePusher`. */
interface ImagePusherOptions {
  /** Whether nothing is sent: the result is what would be. */
  readonly dryRun?: boolean;
  /** Size of a chunk in bytes; see `PushBlobOptions`. */
  readonly chunkBytes?: number | undefined;
  readonly warn?: (message: string) => void;
}

/** How the blobs of one image are sent. */
interface PushImageOptions {
  /** How many blobs are sent at the same time: as many as the source can open. */
  readonly blobsAtATime: number;
  /** Receives how many bytes of the blobs the registry has, and their total. */
  readonly onProgress?: (bytes: number, total: number) => void;
}

/** Pushes images to a registry. A blob that several of them have is sent once, and mounted in the other repositories. */
export class ImagePusher {
  readonly #client: EndpointClient;
  readonly #options: ImagePusherOptions;
  /** A repository of the registry that has a blob. */
  readonly #known = new Map<Digest, string>();

  constructor(client: EndpointClient, options: ImagePusherOptions = {}) {
    this.#client = client;
    this.#options = options;
  }

  /**
   * Pushes an image: its blobs, then its manifests, the tag last. Signatures under a tag of cosign's scheme are not
   * replaced by others.
   *
   * @throws {RegistryError} when the registry does not accept something of it
   */
  async push(image: ImageToPush, { blobsAtATime, onProgress }: PushImageOptions): Promise<PushedImage> {
    const total = image.blobs.reduce((sum, { size }) => sum + size, 0);
    const sent = { blobs: 0, bytes: 0 };
    const decision = await this.#decideTag(image);
    if (decision !== "write") {
      onProgress?.(total, total);
      const isLeftOut = decision === "conflict";
      return { sent, present: image.blobs.length, manifests: 0, ...(isLeftOut ? { isLeftOut } : {}) };
    }
    let [present, done] = [0, 0];
    // Those in progress are awaited after a failure, because the next push needs them too.
    await runBounded(image.blobs, blobsAtATime, async (blob) => {
      let counted = 0;
      const advance = (bytes: number) => {
        onProgress?.(done += bytes - counted, total);
        counted = bytes;
      };
      const bytes = await this.#pushBlob(image, blob, advance);
      advance(blob.size);
      if (bytes === undefined) present++;
      else {
        sent.blobs++;
        sent.bytes += bytes;
      }
    });
    return { sent, present, manifests: await this.#pushManifests(image) };
  }

  /** Reports whether the registry has a manifest in a repository. @throws {RegistryError} when it does not answer */
  async hasManifest(path: string, descriptor: Descriptor): Promise<boolean> {
    return await hasManifest(this.#client, { path, repo: this.#nameOf(path), descriptor });
  }

  async #decideTag({ path, tag, manifests }: ImageToPush): Promise<ReturnType<typeof decideCosignTag>> {
    const { descriptor, bytes } = manifests.at(-1)!;
    if (tag === undefined || subjectOfCosignTag(tag) === undefined) return "write";
    const repo = this.#nameOf(path);
    const current = await fetchManifest(this.#client, { repo, path, tagOrDigest: tag });
    if (current === undefined || current.descriptor.digest === descriptor.digest) return "write";
    const decision = decideCosignTag(current.bytes, bytes);
    if (decision === "conflict") {
      this.#options.warn?.(`${repo}:${tag} stays as it is: it has other signatures than what is copied`);
    }
    return decision;
  }

  /** @returns the number of bytes that were sent, or would be; `undefined` when the registry had the blob */
  async #pushBlob(
    image: ImageToPush,
    blob: Descriptor,
    onProgress: (bytes: number) => void,
  ): Promise<number | undefined> {
    const { path } = image;
    const { digest, size } = blob;
    const name = { path, repo: this.#nameOf(path) };
    const from = this.#known.get(digest);
    if (from === path) return undefined;
    if (this.#options.dryRun) {
      const isThere = from !== undefined || await hasBlob(this.#client, { ...name, digest }, { size });
      this.#known.set(digest, path);
      return isThere ? undefined : size;
    }
    const content = { digest, size, open: (start: number) => image.openBlob(blob, start) };
    const { chunkBytes } = this.#options;
    const { outcome, bytes } = await pushBlob(this.#client, name, { content, from, chunkBytes, onProgress });
    this.#known.set(digest, path);
    return outcome === "sent" ? bytes : undefined;
  }

  async #pushManifests({ path, tag, manifests }: ImageToPush): Promise<number> {
    let count = 0;
    for (const { descriptor, bytes } of manifests) {
      const isRoot = descriptor === manifests.at(-1)!.descriptor;
      const manifest = { path, repo: this.#nameOf(path), descriptor, tag: isRoot ? tag : undefined };
      const isThere = await hasManifest(this.#client, manifest);
      if (!isThere) count++;
      if (this.#options.dryRun) continue;
      const isListed = !isThere && await pushManifest(this.#client, manifest, bytes);
      if (!isListed) await addToReferrers(this.#client, manifest, bytes);
    }
    return count;
  }

  #nameOf(path: string): string {
    return `${this.#client.host}/${path}`;
  }
}
