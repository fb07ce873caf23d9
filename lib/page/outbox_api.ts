import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { answerJson } from "../agent/answer.ts";
import { resolveRange } from "../bytes/byte_range.ts";
import { allowsRange, matchesEtag } from "../http/conditional.ts";
import { parseRange } from "../http/range.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import type { PageOutbox } from "./page_options.ts";
import { API } from "./page_route.ts";

/** How long a link is valid, in milliseconds: a download over a slow network can be resumed on the next day. */
const LINK_MILLISECONDS = 24 * 60 * 60 * 1000;

// Of this process: a link says nothing about the token, and ends with the server.
const LINK_KEY = randomBytes(32);

/**
 * Makes a link for the download of one bundle. A browser downloads a link without the header that has the token, and resumes
 * it, so the link itself allows it: for one bundle, and a day.
 */
export function createLink(digest: Digest, now: number): { url: string; expires: number } {
  const expires = now + LINK_MILLISECONDS;
  return { url: `${API}outbox/${digest}?expires=${expires}&key=${keyOf(digest, expires)}`, expires };
}

/** Reports whether a request has a link that is valid. */
export function isLinked(url: URL, digest: Digest, now: number): boolean {
  const [expires, key] = [Number(url.searchParams.get("expires")), url.searchParams.get("key")];
  // A clock that was set back must not make a link valid for longer.
  if (key === null || !(expires > now) || expires > now + LINK_MILLISECONDS) return false;
  const [given, expected] = [key, keyOf(digest, expires)].map((text) => new TextEncoder().encode(text));
  return given!.length === expected!.length && timingSafeEqual(given!, expected!);
}

function keyOf(digest: Digest, expires: number): string {
  return createHmac("sha256", LINK_KEY).update(`download ${digest} ${expires}`).digest("hex");
}

/** Answers a request for the file of a bundle, or for a range of it. @throws {RegistryError} `NOT_FOUND` */
export async function answerBundle(
  { method, headers }: Request,
  digest: Digest,
  outbox: PageOutbox,
): Promise<Response> {
  const file = await outbox.open(digest);
  if (file === undefined) throw notInOutbox(digest);
  const { name, size } = file;
  const common = {
    "content-type": "application/gzip",
    "content-disposition": `attachment; filename="${name}"`,
    "accept-ranges": "bytes",
    etag: `"${digest}"`,
    "cache-control": "private, no-transform",
    "x-content-type-options": "nosniff",
  };
  try {
    if (matchesEtag(headers.get("if-none-match"), digest)) {
      file.close();
      return new Response(null, { status: 304, headers: common });
    }
    const isPart = method === "GET" && allowsRange(headers.get("if-range"), digest);
    const range = isPart ? parseRange(headers.get("range")) : undefined;
    const { start, length } = resolveRange(size, range);
    const body = method === "HEAD" ? null : await file.stream(start, length);
    if (body === null) file.close();
    const part: Record<string, string> = range === undefined
      ? {}
      : { "content-range": `bytes ${start}-${start + length - 1}/${size}` };
    return new Response(body as BodyInit | null, {
      status: range === undefined ? 200 : 206,
      headers: { ...common, ...part, "content-length": String(length) },
    });
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Removes a bundle. @throws {RegistryError} `NOT_FOUND` */
export async function removeBundle(digest: Digest, outbox: PageOutbox): Promise<Response> {
  if (!await outbox.remove(digest)) throw notInOutbox(digest);
  return answerJson({ digest, removed: true });
}

function notInOutbox(digest: Digest): RegistryError {
  return new RegistryError("NOT_FOUND", cannot(`find ${digest}`, "the outbox has no such bundle"));
}
