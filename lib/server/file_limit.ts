// Files of the process itself, of requests to upstreams and of downloads.
const RESERVED_FILES = 128;
const MIN_CONNECTIONS = 16;
/** Connections beyond the limit, for health checks, and for clients that wait for room. */
export const EXTRA_CONNECTIONS = 32;
/** A lower limit of open files than this one leaves room for few clients. */
export const ENOUGH_FILES = 1024;

/**
 * Finds out how many more files this process may open, by opening them: the system's own report
 * (`/proc/self/limits`) can be read only with all permissions. The files are closed again at once.
 *
 * @param enough more are not tried
 * @param open opens a file
 */
export async function countFreeFiles(enough: number, open: () => Disposable): Promise<number> {
  const files: Disposable[] = [];
  try {
    while (files.length < enough) {
      // Requests are answered in between, and may lack the files that are open here: no more pauses than necessary.
      if (files.length % SLICE === SLICE - 1) await new Promise((resolve) => setTimeout(resolve, 0));
      files.push(open());
    }
  } catch {
    // This was one too many.
  } finally {
    for (const file of files) file[Symbol.dispose]();
  }
  return files.length;
}

/** Files that are opened without a pause, which takes 10 ms: all that the first count after a start needs. */
const SLICE = 1000;

/** Returns how many files a number of connections needs; the opposite of `connectionsFor`. */
export function filesFor(connections: number, isTls: boolean): number {
  return RESERVED_FILES + (connections + EXTRA_CONNECTIONS) * costOf(isTls);
}

/** Returns how many connections may be open at a time, beside the extra ones. @param files the limit of open files */
export function connectionsFor(files: number, isTls: boolean): number {
  return Math.max(MIN_CONNECTIONS, Math.floor((files - RESERVED_FILES) / costOf(isTls)) - EXTRA_CONNECTIONS);
}

// A connection needs its socket and the file that is sent. With TLS it also needs both ends of the connection to the
// internal TLS listener.
function costOf(isTls: boolean): number {
  return isTls ? 4 : 2;
}
