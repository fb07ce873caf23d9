/** Waits. @param options.isUnref whether the process may end meanwhile */
export function pause(milliseconds: number, { isUnref = false }: { readonly isUnref?: boolean } = {}): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  if (isUnref) Deno.unrefTimer(timer);
  return promise;
}
