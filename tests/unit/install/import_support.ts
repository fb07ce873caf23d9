import { isComplete } from "../../../lib/cache/completeness.ts";
import type { ContentStore } from "../../../lib/content/source.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { NoSpaceError } from "../../../lib/oci/error.ts";
import type { Descriptor } from "../../../lib/oci/manifest.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import type { Content } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import type { TestImage } from "../bundle/bundle_support.ts";

/** A memory store that records which blobs are written. */
export class WatchedStore extends MemoryStore {
  readonly blobs: Digest[] = [];
  failOn: Digest | undefined;

  override async writeBlob(repo: string, expected: Descriptor, body: ReadableStream<Uint8Array>): Promise<void> {
    if (expected.digest === this.failOn) {
      await body.cancel();
      throw new NoSpaceError("Cannot write: no space left on the device");
    }
    await super.writeBlob(repo, expected, body);
    this.blobs.push(expected.digest);
  }

  /** The calls that wrote manifests and tags. */
  get visible(): string[] {
    return this.asked.filter((method) => method === "writeManifest" || method === "tag");
  }
}

/** Checks that a store holds a complete image under its name, `REPOSITORY:TAG`. */
export async function checkImage(store: ContentStore, name: string, image: TestImage): Promise<void> {
  const colon = name.lastIndexOf(":");
  const repo = name.slice(0, colon);
  const root = await store.resolve(repo, name.slice(colon + 1));
  assertEquals(root?.digest, image.root.descriptor.digest);
  assert(await isComplete(store, repo, root!));
  for (const { bytes, descriptor } of image.manifests) {
    assertEquals(await store.readManifest(repo, descriptor.digest), bytes);
  }
  for (const { descriptor } of image.blobs) {
    const opened = await store.openBlob(repo, descriptor.digest);
    const bytes = new Uint8Array(
      await new Response(opened?.body as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer(),
    );
    assertEquals(computeDigest(bytes), descriptor.digest);
  }
}

/** Lists the lines of `status.digests` for an image. */
export function linesOf(image: TestImage, name = "docker.io/library/app"): object[] {
  const line = (type: string) => ({ descriptor: { digest, size } }: Content) => ({ type, name, digest, size });
  return [...image.blobs.map(line("blob")), ...image.manifests.map(line("manifest"))];
}
