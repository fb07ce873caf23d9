import { CrpeError } from "../../../../lib/oci/error.ts";
import { EndpointPool } from "../../../../lib/upstream/endpoint_pool.ts";
import { createEndpointSelector } from "../../../../lib/upstream/endpoints.ts";
import { computeDigest } from "../../../../lib/oci/digest.ts";
import { ImagePusher } from "../../../../lib/upstream/push/push_image.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { buildArtifact, buildImage } from "../../../support/images.ts";
import { PushRegistry } from "../../../support/push_registry.ts";

const HOST = "registry.example.com";
const image = buildImage();
const TAG = image.root.digest.replace(":", "-");
const [sbom, vex] = ["application/spdx+json", "application/vex+json"].map((type) => buildArtifact(image.root, type));

/** What a registry does with referrers, and what the second push of the same referrers changes. */
interface Row {
  readonly what: string;
  /** Whether it answers a PUT with `OCI-Subject`. */
  readonly isNamed: boolean;
  /** Whether it has the referrers API. */
  readonly hasApi: boolean;
  /** Whether the list is under the referrers tag afterwards. */
  readonly isTagged: boolean;
}

const ROWS: readonly Row[] = [
  { what: "that names the subject", isNamed: true, hasApi: true, isTagged: false },
  { what: "that has the API only", isNamed: false, hasApi: true, isTagged: false },
  { what: "without the API", isNamed: false, hasApi: false, isTagged: true },
];

function createPusher(registry: PushRegistry, row: Pick<Row, "isNamed" | "hasApi">): ImagePusher {
  const empty = { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [] };
  const pool = new EndpointPool({
    endpointsOf: createEndpointSelector([{ host: HOST, url: `https://${HOST}` }]),
    isPush: true,
    fetch: async (request: Request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/v2/") return new Response("{}");
      if (pathname.includes("/referrers/")) {
        return row.hasApi ? Response.json(empty) : new Response("", { status: 404 });
      }
      const response = await registry.handler(request);
      const name = pathname.split("/").at(-1)!;
      const bytes = registry.manifests.get(`app ${name}`);
      const { headers } = response;
      if (request.method === "PUT" && row.isNamed) headers.set("oci-subject", image.root.digest);
      if (request.method !== "GET" || bytes === undefined) return response;
      headers.set("content-type", JSON.parse(new TextDecoder().decode(bytes)).mediaType);
      return new Response(new Uint8Array(bytes), { headers });
    },
  });
  return new ImagePusher(pool.clientsOf(HOST)[0]!.client);
}

async function push(pusher: ImagePusher, { manifests, blobs }: typeof image, tag?: string): Promise<number> {
  const descriptors = [...blobs].map(([digest, bytes]) => ({ mediaType: "text/plain", digest, size: bytes.length }));
  const openBlob = ({ digest }: typeof image.root, start: number) =>
    Promise.resolve(new Blob([new Uint8Array(blobs.get(digest)!.subarray(start))]).stream());
  const pushed = await pusher.push({ path: "app", tag, manifests, blobs: descriptors, openBlob }, { blobsAtATime: 1 });
  return pushed.manifests;
}

for (const row of ROWS) {
  Deno.test(`[73] a referrer that is pushed is listed by a registry ${row.what}, once`, async () => {
    const registry = new PushRegistry();
    const pusher = createPusher(registry, row);
    for (const [it, tag] of [[image, "1"], [sbom!], [vex!]] as const) assertEquals(await push(pusher, it, tag), 1);
    for (const it of [sbom!, vex!]) assertEquals(await push(pusher, it), 0);
    const bytes = registry.manifests.get(`app ${TAG}`);
    assertEquals(bytes !== undefined, row.isTagged);
    if (bytes === undefined) return;
    const { manifests } = JSON.parse(new TextDecoder().decode(bytes));
    assertEquals(
      manifests,
      [sbom!, vex!].map(({ root: { mediaType, digest, size } }, i) => {
        return { mediaType, digest, size, artifactType: ["application/spdx+json", "application/vex+json"][i] };
      }),
    );
    // A push that ended before the list was written.
    registry.manifests.delete(`app ${TAG}`);
    assertEquals(await push(pusher, vex!), 0);
    assertEquals(registry.manifests.has(`app ${TAG}`), true);
  });
}

Deno.test("[73] a referrers tag that is an image is not replaced", async () => {
  const registry = new PushRegistry();
  const pusher = createPusher(registry, { isNamed: false, hasApi: false });
  await push(pusher, image, TAG);
  const error = await assertRejects(() => push(pusher, sbom!), CrpeError, `its tag ${TAG} is that of an image`);
  // The registry is at fault, and no rule of crpe.
  assertEquals(error.exit, 1);
  assertEquals(computeDigest(registry.manifests.get(`app ${TAG}`)!), image.root.digest);
});

Deno.test("[111] the list of other clients keeps the fields that crpe does not know", async () => {
  const registry = new PushRegistry();
  const pusher = createPusher(registry, { isNamed: false, hasApi: false });
  await push(pusher, image, "1");
  const { mediaType, digest, size } = vex!.root;
  const other = {
    mediaType,
    digest,
    size,
    artifactType: "a/b",
    annotations: { a: "b" },
    "x-other": { y: [1.5, null] },
  };
  const list = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [other],
    annotations: { "org.example": "kept" },
    "x-more": true,
  };
  registry.manifests.set(`app ${TAG}`, new TextEncoder().encode(JSON.stringify(list)));
  assertEquals(await push(pusher, sbom!), 1);
  const changed = JSON.parse(new TextDecoder().decode(registry.manifests.get(`app ${TAG}`)!));
  assertEquals({ ...changed, manifests: changed.manifests.slice(0, 1) }, list);
  assertEquals(changed.manifests[1].digest, sbom!.root.digest);
});
