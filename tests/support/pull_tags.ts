import { createRegistryHandler } from "../../lib/registry/handler.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import type { DiskStore } from "../../lib/store/disk_store.ts";

/**
 * Pulls every tag of a store as a client does, through the registry, and compares the digests.
 *
 * @param isWhole whether a missing blob is an error; a manifest never may be missing below a tag
 * @returns the number of tags
 * @throws {Error} when something is missing or has another digest
 */
export async function pullTags(store: DiskStore, { isWhole }: { readonly isWhole: boolean }): Promise<number> {
  const handler = createRegistryHandler(store);
  const get = async (path: string, digest?: string): Promise<Uint8Array | undefined> => {
    const response = await handler(new Request(`http://crpe/v2/${path}`));
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (response.status === 404) return undefined;
    const expected = digest ?? response.headers.get("docker-content-digest");
    if (response.status !== 200 || computeDigest(bytes) !== expected) {
      throw new Error(`GET ${path} gives ${response.status} and ${bytes.length} bytes of another digest`);
    }
    return bytes;
  };
  const pull = async (repo: string, reference: string): Promise<void> => {
    const bytes = await get(`${repo}/manifests/${reference}`, reference.includes(":") ? reference : undefined);
    if (bytes === undefined) {
      // A platform that is not carried, or not cached yet.
      if (reference.includes(":")) return;
      throw new Error(`${repo}:${reference} is listed and not served`);
    }
    const { manifests = [], config, layers = [] } = JSON.parse(new TextDecoder().decode(bytes));
    for (const { digest } of manifests) await pull(repo, digest);
    for (const { digest } of manifests.length > 0 ? [] : [config, ...layers]) {
      if (await get(`${repo}/blobs/${digest}`, digest) === undefined && isWhole) {
        throw new Error(`${repo}:${reference} does not have ${digest}`);
      }
    }
  };
  let tags = 0;
  for (const repo of (await store.listRepositories()).repositories) {
    for (const { tag } of await store.listTagLinks(repo)) {
      tags++;
      await pull(repo, tag);
    }
  }
  return tags;
}
