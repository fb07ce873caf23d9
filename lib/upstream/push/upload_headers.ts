/**
 * Returns the URL of an upload from the `Location` of an answer: absolute, or relative to the URL that was asked, with a
 * query that must be kept (distribution specification, "Pushing blobs").
 *
 * A registry behind a TLS proxy may not know that, and name its own host with http: the origin that was asked is kept.
 *
 * @param from the URL that was asked
 * @returns the URL, or the reason why it must not be used
 */
export function resolveUploadUrl(location: string | null, from: URL): URL | string {
  if (location === null || location === "") return "its answer has no Location for the upload";
  if (!URL.canParse(location, from)) return "the Location of its answer is not a URL";
  const to = new URL(location, from);
  if (to.protocol !== "https:" && to.protocol !== "http:") return "the Location of its answer is no http or https URL";
  if (to.username !== "" || to.password !== "") return "the Location of its answer has a user name or a password";
  if (from.protocol === "https:" && to.protocol === "http:") {
    if (to.hostname !== from.hostname) return `it sends the upload to ${to.host}, which does not use https`;
    to.protocol = from.protocol;
    to.port = from.port;
  }
  to.hash = "";
  return to;
}

/** Returns the URL that ends an upload: its own one with the digest of the blob. */
export function withDigest(upload: URL, digest: string): URL {
  const url = new URL(upload);
  // The query is kept as it is: signed states do not survive being encoded again.
  url.search = `${url.search === "" ? "?" : `${url.search}&`}digest=${encodeURIComponent(digest)}`;
  return url;
}

/**
 * Parses the `Range` of an upload, and returns the number of bytes that the registry has; `undefined` when it is missing
 * or malformed. The last position is inclusive. Registries write `0-0`, and some `0--1`, for an upload without bytes; an
 * upload of one byte is taken for one of none, and that byte is sent again.
 */
export function parseUploadRange(header: string | null): number | undefined {
  const match = /^(?:bytes[= ])?\s*0-(-1|\d{1,15})$/i.exec(header?.trim() ?? "");
  if (match === null) return undefined;
  const last = Number(match[1]);
  return last <= 0 ? 0 : last + 1;
}

/** Parses `OCI-Chunk-Min-Length`: the smallest chunk in bytes that the registry accepts, except for the last one. */
export function parseMinChunk(header: string | null): number {
  return /^\d{1,15}$/.test(header?.trim() ?? "") ? Number(header) : 0;
}
