// The query of a storage service's URL contains the signature, which grants access to the blob.
const URL_SECRETS = /\b(https?:\/\/)(?:[^\s/"'<>()]*@)?([^\s"'<>()?#]*)(?:[?#][^\s"'<>()]*)?/gi;
// A password may have an @ in it. The words are those of an advice.
const URL_LOGIN = /\b([a-z][a-z0-9+.-]*:\/\/)(?!USER:PASSWORD@)[^\s/"'<>()]*@/gi;
const AUTHORIZATION = /\b(bearer|basic)\s+[A-Za-z0-9\-._~+/]{8,}=*/gi;
const MAX_SHOWN = 500;

/**
 * Redacts a text for a log or an error message. It removes user information and queries of URLs, values of
 * `Authorization` and control characters, and shortens the text to 500 characters.
 */
export function redactText(text: string): string {
  const redacted = text.replace(URL_SECRETS, "$1$2").replace(AUTHORIZATION, "$1 …");
  // deno-lint-ignore no-control-regex
  const printable = redacted.replace(/[\x00-\x1f\x7f-\x9f]+/g, " ").trim();
  return printable.length > MAX_SHOWN ? `${printable.slice(0, MAX_SHOWN)}…` : printable;
}

/** Replaces user names and passwords of URLs of any kind by `…` in a text, as for a message that repeats a command line. */
export function redactLogins(text: string): string {
  return text.replace(URL_LOGIN, "$1…@");
}

/** Returns an error that is safe as a `cause`: it has the redacted messages of `error` and of its causes. */
export function redactError(error: unknown): Error {
  return new Error(redactText(textOf(error)));
}

/** Joins the messages of an error and of its causes. */
export function textOf(error: unknown): string {
  const texts: string[] = [];
  for (let e = error, depth = 0; e !== undefined && e !== null && depth < 5; depth++) {
    texts.push(e instanceof Error ? e.message : String(e));
    e = e instanceof Error ? e.cause : undefined;
  }
  return texts.join(": ");
}
