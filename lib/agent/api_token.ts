import { readText } from "../files/read_text.ts";
import { ifPresent } from "../files/if_present.ts";
import { cannot, CrpeError } from "../oci/error.ts";
import { readOrMake, writePrivateFile } from "../store/private_file.ts";

const TOKEN_BYTES = 32;
// Shorter tokens can be guessed.
const MIN_LENGTH = 8;
const READABLE_BY_GROUP = 0o040;
const READABLE_BY_OTHERS = 0o004;
const WRITABLE_BY_OTHERS = 0o022;

/** A token and its file. */
export interface ApiToken {
  readonly token: string;
  readonly path: string;
  /** Whether the group of the file can read it. */
  readonly isReadableByGroup: boolean;
}

/**
 * Reads a token from a file, without the white space around it.
 *
 * @throws {Error} when the file does not hold one word of at least 8 characters, when all users may read it, or when
 *   others than its owner may write it; the message does not repeat the content
 */
export async function readTokenFile(path: string): Promise<ApiToken> {
  const [text, { mode }] = [await readText(path), await Deno.stat(path)];
  const token = text.trim();
  const refuse = (reason: string, advice?: string) =>
    new CrpeError(cannot(`use the token file ${path}`, reason, advice));
  if (token === "") throw refuse("it is empty");
  // RFC 9110, 5.5: other characters are not allowed in a header.
  if (!/^[\x21-\x7e]+$/.test(token)) throw refuse("it must contain one word of printable ASCII characters");
  if (token.length < MIN_LENGTH) throw refuse(`the token is too short`, `write at least ${MIN_LENGTH} characters`);
  const may = (bits: number) => mode !== null && (mode & bits) !== 0;
  if (may(WRITABLE_BY_OTHERS)) throw refuse("others than its owner may write it", "chmod 600 it");
  if (may(READABLE_BY_OTHERS)) throw refuse("every user may read it", "chmod 600 it");
  return { token, path, isReadableByGroup: may(READABLE_BY_GROUP) };
}

/**
 * Reads the token of an agent that has no `--token-file`. At the first start the token is created, in a file that only
 * its owner can read.
 *
 * @param data the data folder
 * @throws {Error} as `readTokenFile` does
 */
export async function ensureToken(data: string): Promise<ApiToken> {
  const path = `${data}/kubepkg/.token`;
  return await readOrMake(data, () => ifPresent(readTokenFile(path)), async () => {
    const token = crypto.getRandomValues(new Uint8Array(TOKEN_BYTES)).toBase64({
      alphabet: "base64url",
      omitPadding: true,
    });
    await writePrivateFile(data, path, `${token}\n`);
  });
}
