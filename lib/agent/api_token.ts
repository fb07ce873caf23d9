import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";
import { writeFileDurably } from "../files/durable.ts";

const TOKEN_BYTES = 32;
const READABLE_BY_OTHERS = 0o044;

/** A token, and where it is kept. */
export interface ApiToken {
  readonly token: string;
  readonly path: string;
  /** Whether others than the owner of the file can read it. */
  readonly isReadableByOthers: boolean;
}

/**
 * Reads the token of a file; white space around it does not count.
 *
 * @throws {Error} when the file is empty or has more than one word, without repeating what it has
 */
export async function readTokenFile(path: string): Promise<ApiToken> {
  const [text, { mode }] = [await Deno.readTextFile(path), await Deno.stat(path)];
  const token = text.trim();
  if (token === "") throw new Error(`Cannot use the token file ${path}: it is empty`);
  // RFC 9110, 5.5: what else there is cannot be in a header.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new Error(`Cannot use the token file ${path}: it has to have one word of printable ASCII characters`);
  }
  return { token, path, isReadableByOthers: mode !== null && (mode & READABLE_BY_OTHERS) !== 0 };
}

/**
 * The token of an agent that was given none: made at its first start, and kept where only the owner can read it.
 *
 * @param data the data folder
 */
export async function keepToken(
  data: string,
  { randomBytes = (length: number) => crypto.getRandomValues(new Uint8Array(length)) } = {},
): Promise<ApiToken> {
  const path = `${data}/kubepkg/.token`;
  try {
    return await readTokenFile(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const token = Buffer.from(randomBytes(TOKEN_BYTES)).toString("base64url");
  const temporary = `${data}/ingest/${crypto.randomUUID()}.tmp`;
  await writeFileDurably(temporary, path, new TextEncoder().encode(`${token}\n`), { mode: 0o600 });
  return await readTokenFile(path);
}

/** Tells whether a request has the token, in a time that says nothing of how much of it was right (RFC 6750, 2.1). */
export function hasToken(headers: Headers, token: string): boolean {
  const [, given] = /^bearer +([^ ]+) *$/i.exec(headers.get("authorization") ?? "") ?? [];
  return given !== undefined && timingSafeEqual(hash(given), hash(token));
}

// Of the same length, whatever was given.
function hash(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
