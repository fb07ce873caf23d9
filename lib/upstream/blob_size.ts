import { parseContentRange } from "../http/range.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import type { AnswerHead, EndpointRequest } from "./client_context.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import { askHeadOrGet } from "./head_or_get.ts";
import { parseContentLength } from "./transport/bounded_body.ts";
import { encodingOf } from "./transport/content_encoding.ts";

/** Identifies a blob of a repository. */
export interface BlobName {
  /** The repository name that the store uses, for error messages. */
  readonly repo: string;
  /** The path of the repository on its registry. */
  readonly path: string;
  readonly digest: Digest;
}

/**
 * Returns the size of a blob in bytes, or `undefined` when the registry does not have the blob. It sends a HEAD, and
 * requests the first byte of the blob if the response to that does not state the size.
 *
 * @throws {RegistryError} `BAD_GATEWAY` when the registry does not report the size at all
 */
export async function fetchBlobSize(
  client: EndpointClient,
  name: BlobName,
  { signal, hasSlot }: Pick<EndpointRequest, "signal" | "hasSlot"> = {},
): Promise<number | undefined> {
  const { path, digest } = name;
  const request = {
    path,
    resource: `blobs/${digest}`,
    action: `look up blob ${digest} of ${name.repo}`,
    signal,
    hasSlot,
  };
  return await askHeadOrGet(client, request, { read: readSize, get: askForFirstByte });

  async function askForFirstByte(fields: Partial<EndpointRequest>): Promise<number | undefined> {
    const first = await client.sendForHead({ ...request, ...fields, headers: { range: "bytes=0-0" }, accept: [416] });
    if (first === undefined) return undefined;
    // An empty blob has no first byte.
    if (first.status === 416) return /^bytes\s+\*\/0$/.test(first.headers.get("content-range") ?? "") ? 0 : unknown();
    // With an encoding, all sizes are those of the bytes sent, which may not be the blob's.
    if (encodingOf(first.headers) !== undefined) return unknown();
    if (first.status === 206) return parseContentRange(first.headers.get("content-range"))?.size ?? unknown();
    return parseContentLength(first.headers) ?? unknown();
  }

  function unknown(): never {
    throw new RegistryError(
      "BAD_GATEWAY",
      cannot(`${request.action} from ${client.host}`, "the registry does not report its size"),
    );
  }
}

// Some proxies answer every HEAD with a length of 0.
function readSize({ headers }: AnswerHead): number | undefined {
  return encodingOf(headers) === undefined ? parseContentLength(headers) || undefined : undefined;
}
