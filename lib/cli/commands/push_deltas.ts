import { writePrepared } from "../../bundle/pack_bundle.ts";
import { preparePack } from "../../bundle/prepare_pack.ts";
import { readBundle } from "../../bundle/read_bundle.ts";
import { createSink } from "../../bundle/write_bundle_file.ts";
import { removeIfPresent } from "../../files/durable.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { modelNames } from "../../delta/models/all.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { INGEST } from "../../store/layout.ts";
import type { Effort } from "../../delta/models/model.ts";
import type { Io } from "../console/io.ts";
import { openBundle } from "../wiring/open_bundle.ts";
import { fetchInventory } from "./inventory.ts";
import { packDeltas } from "./pack_deltas.ts";

/** Options of `packForAgent`. */
export interface PackForAgentOptions {
  /** The packer's data folder. */
  readonly data: string;
  /** The agent's URL, and the file with the CA certificates to trust for it. */
  readonly url: string;
  readonly caFile: string | undefined;
  readonly effort: Effort;
  readonly isQuiet: boolean;
}

/** A bundle for one agent, removed when this is disposed of. */
export interface AgentBundle extends AsyncDisposable {
  readonly path: string;
  readonly size: number;
  /** Number and total size of the deltas, and the total size of their layers. */
  readonly deltas: { readonly count: number; readonly size: number; readonly layerSize: number };
}

/**
 * Packs the release of a bundle again for one agent: without the content that it holds, and with deltas against the layers
 * that it has. Everything is read from the data folder.
 *
 * @returns `undefined` when there is nothing to gain: the data folder does not have the release and an older one, the
 *   agent knows no deltas, or none is smaller than its layer. The bundle itself is sent then
 */
export async function packForAgent(
  file: string,
  options: PackForAgentOptions,
  io: Io,
): Promise<AgentBundle | undefined> {
  const store = new DiskStore(options.data);
  const kubepkg = await readRelease(file, io);
  if (kubepkg === undefined || !await holdsRelease(kubepkg, store)) return undefined;
  const { url, caFile, effort, isQuiet } = options;
  // Only an agent that answers has something to compare with.
  const inventory = await fetchInventory(url, { caFile }).catch(() => undefined);
  if (inventory === undefined) return undefined;
  const have = new Set(inventory.digests);
  const models = new Set(modelNames()).intersection(new Set(inventory.models ?? []));
  const prepared = await preparePack(kubepkg, store, { have });
  const isSame = sameDigests(prepared.kubepkg, kubepkg);
  using packed = await packDeltas(
    prepared,
    isSame ? { store, site: { have, models }, effort, isQuiet } : undefined,
    io,
  );
  if (packed.pack === prepared) return undefined;
  const path = `${options.data}/${INGEST}/${crypto.randomUUID()}.tmp`;
  const dispose = () => removeIfPresent(path);
  try {
    using output = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
    const { size, deltas } = await writePrepared(packed.pack, {}, createSink(output, path));
    return { path, size, deltas: deltas!, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

// The only package of a whole bundle that has no deltas yet.
async function readRelease(file: string, io: Io): Promise<KubePkg | undefined> {
  const bundle = await readBundle(await openBundle(file, io), { what: file });
  await bundle.cancel();
  const { packages: [kubepkg, ...others], declared, part, deltas } = bundle;
  return others.length > 0 || declared === undefined || part !== undefined || deltas.size > 0 ? undefined : kubepkg;
}

async function holdsRelease({ status }: KubePkg, store: DiskStore): Promise<boolean> {
  for (const { digest, size } of status?.digests ?? []) if (await store.statBlob("", digest) !== size) return false;
  return true;
}

function sameDigests(a: KubePkg, b: KubePkg): boolean {
  const [one, other] = [a, b].map(({ status }) => new Set((status?.digests ?? []).map(({ digest }) => digest)));
  return one!.size === other!.size && one!.isSubsetOf(other!);
}
