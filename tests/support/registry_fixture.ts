import { createRegistryHandler } from "../../lib/registry/handler.ts";
import { assertEquals } from "./assert.ts";
import { buildArtifact, buildImage, buildIndex } from "./images.ts";
import { MemoryStore } from "./memory_store.ts";
import { writeImage } from "./put_image.ts";

/** The repository that holds the content below. */
export const REPO = "docker.io/library/app";
/** An image with an uncompressed layer. */
export const image = buildImage({ files: { "a.txt": "a".repeat(5000) }, layerCompression: "none" });
/** An image for another platform, with Docker's media types. */
export const arm = buildImage({ platform: "linux/arm64", format: "docker" });
/** An index over both. */
export const index = buildIndex([image, arm], { attestation: true });
/** An artifact that refers to the image. */
export const artifact = buildArtifact(image.root, "application/vnd.example.sbom");
/** A second artifact that refers to the image. */
export const signature = buildArtifact(image.root, "application/vnd.example.signature");
const [largest] = [...image.blobs].sort((a, b) => b[1].length - a[1].length);
/** The image's layer. */
export const [layerDigest, layer] = largest!;
/** The index's own manifest. */
export const manifest = index.manifests.at(-1)!;
/** The path of the layer. */
export const blob = `/v2/app/blobs/${layerDigest}`;
/** The body of a response that has none. */
export const noBody = new Uint8Array();

/** Creates a store with the content above, and with the image in two more repositories. */
export async function makeStore(): Promise<MemoryStore> {
  const store = new MemoryStore();
  await writeImage(store, `${REPO}:1.0`, index);
  await writeImage(store, `${REPO}:docker`, arm);
  await writeImage(store, `${REPO}:sbom`, artifact);
  await writeImage(store, `${REPO}:sig`, signature);
  await writeImage(store, "quay.io/team/app:1.0", image);
  await writeImage(store, "reg.lan:5000/x:1.0", image);
  store.asked.length = 0;
  return store;
}

/** A request and the expected response. */
export interface AnswerCase {
  readonly what: string;
  readonly path: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly status: number;
  /** Headers of the response; `undefined` for a header that must be missing. */
  readonly has?: Record<string, string | undefined>;
  readonly body?: Uint8Array | string | Record<string, unknown>;
  /** The error code in the body. */
  readonly code?: string;
  /** The expected calls of the catalog. */
  readonly asked?: string[];
}

/** Registers a test for each case. Each test also checks that no body is left open. */
export function testAnswers(cases: readonly AnswerCase[]): void {
  for (const { what, path, method = "GET", headers = {}, status, has = {}, body, code, asked } of cases) {
    // Fault numbers come first in the name of a test.
    const [, faults = "", criterion] = /^((?:\[\d+\] )*)(.*)$/.exec(what) ?? [];
    Deno.test(`${faults}createRegistryHandler() answers ${criterion}`, async () => {
      const store = await makeStore();
      const response = await createRegistryHandler(store)(
        new Request(`http://crpe${path}`, { method, headers }),
      );
      const bytes = new Uint8Array(await response.arrayBuffer());
      assertEquals(response.status, status);
      for (const [name, value] of Object.entries(has)) {
        assertEquals(response.headers.get(name) ?? undefined, value, name);
      }
      if (body instanceof Uint8Array) assertEquals(bytes, body);
      else if (body !== undefined) assertEquals<unknown>(parse(bytes), body);
      if (code !== undefined) assertEquals((parse(bytes) as ErrorBody).errors.map((error) => error.code), [code]);
      if (asked !== undefined) assertEquals(store.asked, asked);
      assertEquals(store.openBodies, 0);
    });
  }
}

/** The body of an error response. */
export interface ErrorBody {
  readonly errors: readonly { readonly code: string; readonly message: string; readonly detail?: unknown }[];
}

function parse(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(bytes));
}
