import type { ConnectionLimits } from "./http_server.ts";

const HEAD_MILLISECONDS = 30_000;
const IDLE_MILLISECONDS = 120_000;
const LEAST = 16;
const MOST = 16_384;
// What is assumed where the system does not tell how many files may be open.
const USUAL_FILES = 1024;
// The runtime's own, the store's, and connections to upstreams.
const OTHER_FILES = 64;

/**
 * The limits for a process that may have so many files open: a connection is one, and the blob that it is sent another.
 *
 * @param limits `/proc/self/limits` of Linux; `undefined` where there is none
 */
export function connectionLimits(limits: string | undefined): ConnectionLimits {
  const files = Number(/^Max open files\s+(\d+)/m.exec(limits ?? "")?.[1] ?? USUAL_FILES);
  const max = Math.min(MOST, Math.max(LEAST, Math.floor((files - OTHER_FILES) / 2)));
  return { max, headTimeout: HEAD_MILLISECONDS, idleTimeout: IDLE_MILLISECONDS };
}

/** The limits for this process. */
export async function readConnectionLimits(): Promise<ConnectionLimits> {
  return connectionLimits(await Deno.readTextFile("/proc/self/limits").catch(() => undefined));
}
