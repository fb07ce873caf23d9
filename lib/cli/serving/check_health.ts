import { checkFolder } from "../../files/durable.ts";
import type { ObjectStore } from "../../object_store/object_store.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { describeSystemError } from "../../oci/system_error.ts";

/** What the health check reads. */
export interface HealthOptions {
  /** The data folder. */
  readonly data: string;
  readonly store: DiskStore | ObjectStore;
  /** Whether the data folder could not be written at the start. */
  readonly isReadOnly: boolean;
  /** Checks that the bucket can be read; default: with a request. */
  readonly checkBucket?: (() => Promise<void>) | undefined;
}

// How long a bucket that could be read counts as such for a page, in milliseconds.
const REACHED_MILLISECONDS = 60_000;

/** Creates a check of a bucket for pages, each of which asks every five seconds: a list of objects costs money. */
export function createRareCheck(
  store: Pick<ObjectStore, "checkReachable">,
  now: () => number,
): () => Promise<void> {
  let until = -Infinity;
  return async () => {
    if (now() < until) return;
    await store.checkReachable();
    until = now() + REACHED_MILLISECONDS;
  };
}

/** Checks that the folder that content is read from is still the same. @throws {CrpeError} when it is not */
export function checkPlace({ data, store }: Pick<HealthOptions, "data" | "store">): void {
  if (store instanceof DiskStore) checkFolder(data);
}

/**
 * Checks whether the server can serve its content and keep new content.
 *
 * @returns why it serves without keeping new content; `undefined` when all is well
 * @throws {Error} when the data folder cannot be read
 */
export async function checkHealth(
  { data, store, isReadOnly, checkBucket }: HealthOptions,
): Promise<string | undefined> {
  checkFolder(data);
  try {
    for await (const _ of Deno.readDir(data)) break;
  } catch (error) {
    // Content of upstreams is served all the same.
    if (error instanceof Deno.errors.NotFound) return `the data folder ${data} does not exist`;
    throw new Error(`the data folder ${data} cannot be read: ${describeSystemError(error)}`, { cause: error });
  }
  // The data folder has the downloads in progress only.
  if (!(store instanceof DiskStore)) await (checkBucket?.() ?? store.checkReachable());
  else if (!isReadOnly) return store.health.problem;
  return isReadOnly ? `the data folder ${data} is not writable` : undefined;
}
