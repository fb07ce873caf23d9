import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { type Descriptor, MEDIA_TYPE } from "../../lib/oci/manifest.ts";
import { blobPath } from "../../lib/store/layout.ts";
import { HOST } from "./content.ts";

/** An image that a `StoreWriter` has written. */
export interface WrittenImage {
  readonly manifest: Descriptor;
  /** The digests of its manifest, config and layers. */
  readonly digests: readonly Digest[];
}

const encoder = new TextEncoder();
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";

/**
 * Writes many small images to a data folder with CNCF distribution's layout, without syncing each file as a store does.
 */
export class StoreWriter {
  readonly dataDir: string;

  constructor(dataDir: string) {
    this.dataDir = dataDir;
  }

  /** Writes a blob that no repository links to. */
  blob(text: string): { readonly digest: Digest; readonly size: number } {
    const bytes = encoder.encode(text);
    const digest = computeDigest(bytes);
    this.#write(blobPath(digest), bytes);
    return { digest, size: bytes.length };
  }

  /** Writes an image of one config and these layers to a repository of `HOST`, with some tags. */
  image(path: string, layers: readonly string[], tags: readonly string[]): WrittenImage {
    const blobs = layers.map((text) => this.blob(text));
    const diffIds = blobs.map(({ digest }) => digest);
    const platform = { architecture: "amd64", os: "linux" };
    const config = this.blob(
      JSON.stringify({ ...platform, config: {}, rootfs: { type: "layers", diff_ids: diffIds } }),
    );
    const text = JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: { mediaType: CONFIG_TYPE, ...config },
      layers: blobs.map((layer) => ({ mediaType: LAYER_TYPE, ...layer })),
    });
    const manifest = { mediaType: MEDIA_TYPE.ociManifest, ...this.blob(text) };
    const repository = `docker/registry/v2/repositories/${HOST}/${path}`;
    for (const { digest } of [config, ...blobs]) this.#link(`${repository}/_layers/sha256/${digest.slice(7)}`, digest);
    const { digest } = manifest;
    this.#link(`${repository}/_manifests/revisions/sha256/${digest.slice(7)}`, digest);
    for (const tag of tags) {
      this.#link(`${repository}/_manifests/tags/${tag}/current`, digest);
      this.#link(`${repository}/_manifests/tags/${tag}/index/sha256/${digest.slice(7)}`, digest);
    }
    return { manifest, digests: [digest, config.digest, ...diffIds] };
  }

  #link(folder: string, digest: Digest): void {
    this.#write(`${folder}/link`, encoder.encode(digest));
  }

  // Not asynchronously: for files of this size that takes several times as long.
  #write(path: string, bytes: Uint8Array): void {
    const file = `${this.dataDir}/${path}`;
    Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    Deno.writeFileSync(file, bytes);
  }
}
