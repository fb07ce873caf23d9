import { verifyBytes } from "../content/verifier.ts";
import { computeDigest, type Digest, splitDigest } from "../oci/digest.ts";
import { type BoundedBodyOptions, readBoundedBody } from "./transport/bounded_body.ts";
import { encodingOf } from "./transport/content_encoding.ts";

/**
 * Reads the whole body of a response into memory and verifies it. The digest decides whether a gzip encoding is part of
 * the content or was added by the server.
 *
 * @throws {DigestMismatchError} when the body does not have the digest, decoded or not
 * @throws {RegistryError} `BAD_GATEWAY` when the body is larger than allowed
 * @throws {TransportError} when the body is interrupted or stalls
 */
export async function readVerifiedBody(
  response: Response,
  digest: Digest,
  options: BoundedBodyOptions,
): Promise<Uint8Array> {
  const raw = await readBoundedBody(response, { ...options, isRaw: true });
  const isStored = computeDigest(raw, splitDigest(digest).algorithm) === digest;
  const bytes = isStored || encodingOf(response.headers) === undefined ? raw : await decode(raw, response, options);
  verifyBytes(bytes, digest);
  return bytes;
}

async function decode(raw: Uint8Array, { headers }: Response, options: BoundedBodyOptions): Promise<Uint8Array> {
  const encoding = { "content-encoding": headers.get("content-encoding")! };
  return await readBoundedBody(new Response(raw as Uint8Array<ArrayBuffer>, { headers: encoding }), options);
}
