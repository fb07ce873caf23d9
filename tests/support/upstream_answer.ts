import type { RawResponse } from "./raw_http.ts";

/** The kind of a request. */
export type RequestKind = "ping" | "manifest" | "blob" | "tags" | "referrers" | "token" | "other";

/** Finds the kind of a request by its path. */
export function kindOf(path: string): RequestKind {
  if (path === "/v2/" || path === "/v2") return "ping";
  if (path === "/token") return "token";
  const [, what] = /^\/v2\/.+\/(manifests|blobs|tags|referrers)\/[^/]+$/.exec(path) ?? [];
  if (what === "manifests") return "manifest";
  if (what === "blobs") return "blob";
  return what === "tags" || what === "referrers" ? what : "other";
}

/** Answers with a blob, or with the part of it that a `Range` header names. */
export function rangeOf(blob: Uint8Array, header: string | null): RawResponse {
  const headers = { "Content-Type": "application/octet-stream" };
  const [, first, end] = /^bytes=(\d+)-(\d*)$/.exec(header ?? "") ?? [];
  if (first === undefined) return { status: 200, headers, body: blob };
  const start = Number(first);
  const last = Math.min(end === "" ? Infinity : Number(end), blob.length - 1);
  if (start > last) return { status: 416, headers: { "Content-Range": `bytes */${blob.length}` } };
  const range = { "Content-Range": `bytes ${start}-${last}/${blob.length}` };
  return { status: 206, headers: { ...headers, ...range }, body: blob.subarray(start, last + 1) };
}

/** Makes a 404 with an error code. */
export function notFound(code: string): RawResponse {
  return { status: 404, headers: { "Content-Type": "application/json" }, body: errorBody(code, "not found") };
}

/** Formats an error body of the distribution specification. */
export function errorBody(code: string, message: string): string {
  return JSON.stringify({ errors: [{ code, message }] });
}

/** Formats the `Authorization` header of a login. */
export function basic({ username = "", password = "" }: { username?: string; password?: string }): string {
  return `Basic ${btoa(`${username}:${password}`)}`;
}

/** Encodes text as UTF-8. */
export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}
