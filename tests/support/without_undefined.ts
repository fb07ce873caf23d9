/** Returns a document without the properties that are `undefined`, which for its users are absent. */
export function withoutUndefined<T>(document: T): T {
  return document === undefined ? document : JSON.parse(JSON.stringify(document));
}
