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
}

/**
 * Checks whether the server can serve its content and keep new content.
 *
 * @returns why it serves without keeping new content; `undefined` when all is well
 * @throws {Error} when the data folder cannot be read
 */
export async function checkHealth({ data, store, isReadOnly }: HealthOptions): Promise<string | undefined> {
  try {
    for await (const _ of Deno.readDir(data)) break;
  } catch (error) {
    // Content of upstreams is served all the same.
    if (error instanceof Deno.errors.NotFound) return `the data folder ${data} does not exist`;
    throw new Error(`the data folder ${data} cannot be read: ${describeSystemError(error)}`, { cause: error });
  }
  // The data folder has the downloads in progress only.
  if (!(store instanceof DiskStore)) await store.checkReachable();
  else if (!isReadOnly) return store.health.problem;
  return isReadOnly ? `the data folder ${data} is not writable` : undefined;
}
