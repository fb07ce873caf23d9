/** Returns the repository that a blob is received for, of those that it is linked to; `undefined` when there is none. */
export function firstRepository(repos: string | ReadonlySet<string> | undefined): string | undefined {
  return typeof repos === "string" ? repos : repos?.values().next().value;
}
