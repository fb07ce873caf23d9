// What follows a `?` in a URL of a storage service signs it: whoever has it can read the blob.
const URL_SECRETS = /\b(https?:\/\/)(?:[^\s/@"'<>()]*@)?([^\s"'<>()?#]*)(?:[?#][^\s"'<>()]*)?/gi;
const AUTHORIZATION = /\b(bearer|basic)\s+[A-Za-z0-9\-._~+/]{8,}=*/gi;
const MAX_SHOWN = 500;

/** Takes out of a text what must not reach a log: user information and queries of URLs, and Authorization values. */
export function redactText(text: string): string {
  const redacted = text.replace(URL_SECRETS, "$1$2").replace(AUTHORIZATION, "$1 …");
  // deno-lint-ignore no-control-regex
  const printable = redacted.replace(/[\x00-\x1f\x7f-\x9f]+/g, " ").trim();
  return printable.length > MAX_SHOWN ? `${printable.slice(0, MAX_SHOWN)}…` : printable;
}

/** An error fit to be a `cause`: the texts of the one given and of its causes, redacted, without their objects. */
export function redactError(error: unknown): Error {
  return new Error(redactText(textOf(error)));
}

/** The messages of an error and of its causes, joined. */
export function textOf(error: unknown): string {
  const texts: string[] = [];
  for (let e = error, depth = 0; e !== undefined && e !== null && depth < 5; depth++) {
    texts.push(e instanceof Error ? e.message : String(e));
    e = e instanceof Error ? e.cause : undefined;
  }
  return texts.join(": ");
}
