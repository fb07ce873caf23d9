// Files of the process itself, of requests to upstreams and of downloads.
const RESERVED_FILES = 128;
const MIN_CONNECTIONS = 16;
/** Connections beyond the limit, for health checks, and for clients that wait for room. */
export const EXTRA_CONNECTIONS = 32;
/** A lower limit of open files than this one leaves room for few clients. */
export const ENOUGH_FILES = 1024;

/** Returns the process's soft limit of open files; `undefined` when the system does not report it. */
export function readFileLimit(): number | undefined {
  try {
    return parseFileLimit(Deno.readTextFileSync("/proc/self/limits"));
  } catch {
    // Only Linux has this file. Elsewhere the limit is found when it is reached.
    return undefined;
  }
}

/** Parses the soft limit of open files in the text of `/proc/self/limits`; `Infinity` when there is none. */
export function parseFileLimit(text: string): number | undefined {
  const soft = /^Max open files\s+(\d+|unlimited)\s/m.exec(text)?.[1];
  return soft === undefined ? undefined : soft === "unlimited" ? Infinity : Number(soft);
}

/**
 * Returns how many connections may be open at a time, beside the extra ones.
 *
 * @param files the limit of open files
 * @param isTls a connection needs its socket and the file that is sent; with TLS it also needs both ends of the
 *   connection to the internal TLS listener
 */
export function connectionsFor(files: number, isTls: boolean): number {
  return Math.max(MIN_CONNECTIONS, Math.floor((files - RESERVED_FILES) / (isTls ? 4 : 2)) - EXTRA_CONNECTIONS);
}
