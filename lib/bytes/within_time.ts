/**
 * Waits for a promise, but not longer than a time. A promise that is late is left to itself.
 *
 * @returns its value; `undefined` when the time has passed before
 */
export async function withinTime<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), milliseconds);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
