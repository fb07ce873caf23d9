import { readBounded } from "../../bytes/read_bounded.ts";
import { redactText } from "../../upstream/transport/redact.ts";
import { toTransportError } from "../../upstream/transport/transport_error.ts";
import { openUnsizedBody } from "../../upstream/transport/unsized_body.ts";
import { cannot, CrpeError, UsageError } from "../../oci/error.ts";

/** How long a server may take until it begins to answer, and later until it has sent some more, in milliseconds. */
const ANSWER_TIMEOUT = 60_000;

/** Whether an operand is an `http(s)` URL. */
export function isUrl(where: string): boolean {
  return /^https?:\/\//i.test(where);
}

/** Returns the name of a file, URL or `-` (standard input) for messages. */
export function nameOfInput(where: string): string {
  // A URL may contain a password, or a signature that grants access.
  return where === "-" ? "standard input" : isUrl(where) ? redactText(where) : where;
}

/**
 * Reads what a URL answers.
 *
 * @param limit in bytes
 * @throws {Error} when it cannot be read
 * @throws {CorruptError} when it has more bytes
 */
export async function readUrl(url: string, limit: number): Promise<Uint8Array> {
  return await readBounded(await openUrl(url), nameOfInput(url), limit);
}

/**
 * Opens what a URL answers. The caller bounds its size.
 *
 * @throws {UsageError} when the URL is not valid, or has a user name or a password
 * @throws {Error} when there is no answer, or an error
 */
export async function openUrl(url: string): Promise<ReadableStream<Uint8Array>> {
  const shown = nameOfInput(url);
  // The message of an invalid URL would repeat it.
  if (!URL.canParse(url)) throw new UsageError(cannot(`use ${shown}`, "it is not a valid URL"));
  const { username, password } = new URL(url);
  if (username !== "" || password !== "") {
    const reason = "a password in a command line is visible to all users of the machine";
    throw new UsageError(cannot(`use ${shown}`, reason, "fetch the file with another program, and name that"));
  }
  const aborter = new AbortController();
  const timer = setTimeout(() => aborter.abort(), ANSWER_TIMEOUT);
  let response: Response;
  try {
    response = await fetch(url, { signal: aborter.signal });
  } catch (error) {
    const { reason, cause } = toTransportError(error);
    const within = `it did not answer within ${ANSWER_TIMEOUT / 1000} seconds`;
    throw new CrpeError(cannot(`read ${shown}`, aborter.signal.aborted ? within : reason), { cause });
  } finally {
    clearTimeout(timer);
  }
  const isDowngraded = url.startsWith("https:") && !response.url.startsWith("https:");
  if (!response.ok || response.body === null || isDowngraded) {
    await response.body?.cancel();
    const reason = isDowngraded
      ? "it redirects to an address without https"
      : `it answered ${response.status} ${response.statusText}`.trimEnd();
    throw new CrpeError(cannot(`read ${shown}`, reason));
  }
  return openUnsizedBody(response.body, {
    stallTimeout: ANSWER_TIMEOUT,
    now: () => performance.now(),
    toError: (error) => {
      const { reason, cause } = toTransportError(error);
      return new CrpeError(cannot(`read ${shown}`, reason), { cause });
    },
  });
}
