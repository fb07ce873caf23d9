import { cosignTagsOf } from "../../../../lib/oci/cosign_tag.ts";
import { computeDigest } from "../../../../lib/oci/digest.ts";
import { EndpointPool } from "../../../../lib/upstream/endpoint_pool.ts";
import { createEndpointSelector } from "../../../../lib/upstream/endpoints.ts";
import { ImagePusher } from "../../../../lib/upstream/push/push_image.ts";
import { assertEquals } from "../../../support/assert.ts";
import { buildImage } from "../../../support/images.ts";

const HOST = "registry.test";
const [TAG] = cosignTagsOf(computeDigest("an image"));
/** The manifest under the tag: a layer for each signature, as cosign makes it. */
const signed = (by: string) => buildImage({ files: [...by].map((name) => ({ [name]: name })) });

for (
  const [there, pushed, isSent, warnings] of [
    ["xy", "x", false, 0],
    ["x", "xy", true, 0],
    ["x", "y", false, 1],
  ] as const
) {
  Deno.test(`ImagePusher.push() of the signatures "${pushed}" to a tag with "${there}"`, async () => {
    const [current, image] = [signed(there), signed(pushed)];
    const puts: string[] = [];
    const pool = new EndpointPool({
      endpointsOf: createEndpointSelector([{ host: HOST, url: `https://${HOST}` }]),
      isPush: true,
      // A registry that has every blob, and under the tag the current manifest.
      fetch: ((input: Request) => {
        const { method, url } = new Request(input);
        if (method === "PUT") puts.push(new URL(url).pathname);
        const isManifest = url.includes("/manifests/");
        if (method === "PUT") return Promise.resolve(new Response(null, { status: 201 }));
        const { descriptor: { digest, mediaType }, bytes } = current.manifests[0]!;
        const headers = { "docker-content-digest": digest, "content-type": mediaType };
        const body = method === "HEAD" || !isManifest ? null : new Blob([bytes as Uint8Array<ArrayBuffer>]);
        return Promise.resolve(new Response(body, isManifest ? { headers } : {}));
      }) as typeof fetch,
    });
    const { client } = pool.clientsOf(HOST)[0]!;
    const seen: string[] = [];
    const result = await new ImagePusher(client, { warn: (message) => seen.push(message) }).push({
      path: "app",
      tag: TAG,
      manifests: image.manifests,
      blobs: [],
      openBlob: () => Promise.reject(new Error("not asked for")),
    }, { blobsAtATime: 1 });
    assertEquals(puts, isSent ? [`/v2/app/manifests/${TAG}`] : []);
    assertEquals([seen.length, result.isLeftOut ?? false], [warnings, warnings > 0]);
  });
}
