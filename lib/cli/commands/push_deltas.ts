import { layOutBundle } from "../../bundle/bundle_layout.ts";
import { type PackResult, writePrepared } from "../../bundle/pack_bundle.ts";
import { type PreparedPack, preparePack } from "../../bundle/prepare_pack.ts";
import { readBundle } from "../../bundle/read_bundle.ts";
import { createSink } from "../../bundle/write_bundle_file.ts";
import { modelNames } from "../../delta/models/all.ts";
import type { Effort } from "../../delta/models/model.ts";
import { removeIfPresent } from "../../files/durable.ts";
import { tryLockFile } from "../../files/file_lock.ts";
import { openOwned } from "../../files/inherit_owner.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { referrersOf } from "../../kubepkg/referrers_of.ts";
import { identityOf } from "../../kubepkg/version.ts";
import type { DocumentSigner } from "../../signature/signature_lines.ts";
import { temporaryPath } from "../../store/layout.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import { createWarning, describeError } from "../console/describe_error.ts";
import { UnfinishedFile } from "../console/interruption.ts";
import type { Io } from "../console/io.ts";
import { openBundle } from "../wiring/open_bundle.ts";
import type { AnyStore } from "../wiring/open_store.ts";
import { fetchInventory } from "./inventory.ts";
import { packDeltas } from "./pack_deltas.ts";

/** Options of `packForAgent`. */
export interface PackForAgentOptions {
  /** The packer's data folder, for temporary files. */
  readonly data: string;
  /** The packer's store, in that folder or in a bucket. */
  readonly store: AnyStore;
  /** The agent's URL, and the file with the CA certificates to trust for it. */
  readonly url: string;
  readonly caFile: string | undefined;
  readonly effort: Effort;
  /** Signs what is packed again. Without it, a signed bundle is not, because its signatures would be lost. */
  readonly sign: DocumentSigner | undefined;
  readonly isQuiet: boolean;
}

/** A bundle for one agent, removed when this is disposed of. */
interface AgentBundle extends AsyncDisposable {
  readonly path: string;
  readonly size: number;
  /** Number and total size of the deltas, and the total size of their layers. */
  readonly deltas: NonNullable<PackResult["deltas"]>;
}

/**
 * Packs the release of a bundle again for one agent: without the content that it holds, and with deltas against the layers
 * that it has. Everything is read from the store. The bundle itself can be sent as well, so that an error is only
 * a warning.
 *
 * @returns `undefined` when the bundle itself is to be sent: it is signed and `sign` is missing, the store does not
 *   have the release and an older one, the agent knows no deltas, or none is smaller than its layer
 * @throws when the bundle cannot be read
 */
export async function packForAgent(
  file: string,
  options: PackForAgentOptions,
  io: Io,
): Promise<AgentBundle | undefined> {
  const { kubepkg, isSigned } = await readRelease(file, io);
  if (kubepkg === undefined || isSigned && options.sign === undefined) return undefined;
  try {
    return await packRelease(kubepkg, options, io);
  } catch (error) {
    createWarning(io)(`Cannot send deltas of ${file}: ${describeError(error)}; sending the bundle as it is`);
    return undefined;
  }
}

async function packRelease(kubepkg: KubePkg, options: PackForAgentOptions, io: Io): Promise<AgentBundle | undefined> {
  const { data, store, url, caFile, effort, sign, isQuiet } = options;
  if (!await holdsRelease(kubepkg, store)) return undefined;
  // Only an agent that answers has something to compare with.
  const inventory = await fetchInventory(url, { caFile }).catch(() => undefined);
  if (inventory === undefined) return undefined;
  const have = new Set(inventory.digests);
  const models = new Set(modelNames()).intersection(new Set(inventory.models ?? []));
  // Until the bundle is written, the layers that it is made from must stay.
  using _lease = await takeWriteLease(data);
  // Those of the bundle: the store may have others by now.
  const only = new Set(referrersOf(kubepkg).map(({ digest }) => digest));
  const referrers = only.size === 0 ? undefined : { catalog: store, only, isCarried: true };
  const prepared = await preparePack(kubepkg, store, { have, sign, referrers });
  const isSame = identityOf(prepared.kubepkg) === identityOf(kubepkg) && sameDigests(prepared.kubepkg, kubepkg);
  using packed = await packDeltas(
    prepared,
    isSame ? { store, site: { have, models }, effort, isQuiet } : undefined,
    io,
  );
  return packed.pack === prepared ? undefined : await writeTemporary(packed.pack, data);
}

// The caller's lease keeps other processes from sweeping the file while it is written, and its lock while it is sent: a
// shared lock, since on Windows a file with an exclusive one can only be read by its owner.
async function writeTemporary(pack: PreparedPack, data: string): Promise<AgentBundle> {
  await using resources = new AsyncDisposableStack();
  const path = temporaryPath(data);
  resources.use(new UnfinishedFile(path));
  resources.defer(() => removeIfPresent(path));
  const output = resources.use(await openOwned(path, { write: true, createNew: true, mode: 0o600 }));
  const { size, deltas } = await writePrepared({ pack, layout: layOutBundle(pack) }, {}, createSink(output, path));
  await tryLockFile(output, path, false);
  const owned = resources.move();
  return { path, size, deltas: deltas!, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

// The only package of a whole bundle that has no deltas yet.
async function readRelease(
  file: string,
  io: Io,
): Promise<{ readonly kubepkg: KubePkg | undefined; readonly isSigned: boolean }> {
  const bundle = await readBundle(await openBundle(file, io), { what: file });
  try {
    const { packages: [kubepkg, ...others], declared, part, deltas } = bundle;
    const isSuitable = others.length === 0 && declared !== undefined && part === undefined && deltas.size === 0;
    return { kubepkg: isSuitable ? kubepkg : undefined, isSigned: await bundle.readSignatures() !== undefined };
  } finally {
    await bundle.cancel();
  }
}

async function holdsRelease({ status }: KubePkg, store: AnyStore): Promise<boolean> {
  for (const { digest, size } of status?.digests ?? []) if (await store.statBlob("", digest) !== size) return false;
  return true;
}

function sameDigests(a: KubePkg, b: KubePkg): boolean {
  const [one, other] = [a, b].map(({ status }) => new Set((status?.digests ?? []).map(({ digest }) => digest)));
  return one!.size === other!.size && one!.isSubsetOf(other!);
}
