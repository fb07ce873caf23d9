import type { ContentStore } from "../../lib/content/source.ts";
import type { Digest } from "../../lib/oci/digest.ts";
import type { BuiltImage } from "./images.ts";

/** Writes an image to a store: children first, the tag last. */
export async function writeImage(store: ContentStore, repo: string, tag: string, image: BuiltImage): Promise<void> {
  for (const { digest, size, open } of blobsOf(image)) {
    await store.writeBlob(repo, { mediaType: "application/octet-stream", digest, size }, open());
  }
  for (const { descriptor, bytes } of image.manifests) await store.writeManifest(repo, descriptor, bytes);
  await store.tag(repo, tag, image.root.digest);
}

/** Options of a push. */
export interface PushOptions {
  readonly auth?: { readonly user: string; readonly password: string };
}

/**
 * Pushes an image to a registry over HTTP, with one POST and one PUT for each blob.
 *
 * @param registryUrl `http://127.0.0.1:5000`
 * @param path the repository on that registry
 */
export async function pushImage(
  registryUrl: string,
  path: string,
  tag: string,
  image: BuiltImage,
  options: PushOptions = {},
): Promise<void> {
  const headers: Record<string, string> = options.auth === undefined
    ? {}
    : { authorization: `Basic ${btoa(`${options.auth.user}:${options.auth.password}`)}` };
  const send = async (method: string, url: URL, content?: { body: BodyInit; type: string }): Promise<Response> => {
    const response = await fetch(url, {
      method,
      headers: content === undefined ? headers : { ...headers, "content-type": content.type },
      ...(content === undefined ? {} : { body: content.body }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`Cannot push: ${method} ${url} gave ${response.status} ${text}`);
    return response;
  };
  for (const { digest, open } of blobsOf(image)) {
    const started = await send("POST", new URL(`/v2/${path}/blobs/uploads/`, registryUrl));
    const upload = new URL(started.headers.get("location")!, registryUrl);
    upload.searchParams.set("digest", digest);
    await send("PUT", upload, { body: open(), type: "application/octet-stream" });
  }
  for (const { descriptor: { mediaType, digest }, bytes } of image.manifests) {
    await send("PUT", new URL(`/v2/${path}/manifests/${digest}`, registryUrl), { body: bytes, type: mediaType });
  }
  const { bytes, descriptor } = image.manifests.at(-1)!;
  await send("PUT", new URL(`/v2/${path}/manifests/${tag}`, registryUrl), { body: bytes, type: descriptor.mediaType });
}

function* blobsOf(
  image: BuiltImage,
): Generator<{ digest: Digest; size: number; open: () => ReadableStream<Uint8Array<ArrayBuffer>> }> {
  for (const [digest, bytes] of image.blobs) {
    yield { digest, size: bytes.length, open: () => new Blob([bytes]).stream() };
  }
  yield* image.largeBlobs.values();
}
