/** Quotes a text as one word of a POSIX shell, unless it has only characters that no shell evaluates. */
export function quoteForShell(text: string): string {
  return /^[\w:/.@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
