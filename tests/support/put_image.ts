import type { ContentStore } from "../../lib/content/source.ts";
import type { Digest } from "../../lib/oci/digest.ts";
import type { BuiltImage } from "./images.ts";

/**
 * Writes an image to a store: children first, the tag last.
 *
 * @param reference `registry.test/app:1.0`
 */
export async function writeImage(store: ContentStore, reference: string, image: BuiltImage): Promise<void> {
  const [repo, tag] = splitTag(reference);
  for (const { digest, size, open } of blobsOf(image)) {
    await store.writeBlob(repo, { mediaType: "application/octet-stream", digest, size }, open());
  }
  for (const { descriptor, bytes } of image.manifests) await store.writeManifest(repo, descriptor, bytes);
  await store.tag(repo, tag, image.root.digest);
}

/** What a push sends, and as which user. */
export interface Push {
  readonly image: BuiltImage;
  readonly auth?: { readonly user: string; readonly password: string };
}

/**
 * Pushes an image to a registry over HTTP, with one POST and one PUT for each blob.
 *
 * @param registryUrl `http://127.0.0.1:5000`
 * @param reference the repository on that registry and the tag: `team/app:1.0`
 */
export async function pushImage(registryUrl: string, reference: string, { image, auth }: Push): Promise<void> {
  const [path, tag] = splitTag(reference);
  const headers: Record<string, string> = auth === undefined
    ? {}
    : { authorization: `Basic ${btoa(`${auth.user}:${auth.password}`)}` };
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

function splitTag(reference: string): [repo: string, tag: string] {
  const colon = reference.lastIndexOf(":");
  return [reference.slice(0, colon), reference.slice(colon + 1)];
}

export function* blobsOf(
  image: BuiltImage,
): Generator<{ digest: Digest; size: number; open: () => ReadableStream<Uint8Array<ArrayBuffer>> }> {
  for (const [digest, bytes] of image.blobs) {
    yield { digest, size: bytes.length, open: () => new Blob([bytes]).stream() };
  }
  yield* image.largeBlobs.values();
}
