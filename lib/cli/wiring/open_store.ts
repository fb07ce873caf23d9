import type { CacheEvent } from "../../cache/cache_event.ts";
import type { CacheLimit } from "../../cache/cache_limit.ts";
import type { EvictorOptions } from "../../cache/evictor.ts";
import { type FoundPeer, PeeredUpstream } from "../../cache/peered_upstream.ts";
import { PullThrough } from "../../cache/pull_through.ts";
import type { Digest } from "../../oci/digest.ts";
import type { ObjectStore } from "../../object_store/object_store.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { LinkedStore } from "../../store/linked_store.ts";
import type { Settings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import type { OpenedObjectStore } from "./open_object_store.ts";
import { openPeers } from "./open_peers.ts";
import { type OpenedUpstream, openUpstream, type UpstreamSettings } from "./open_upstream.ts";

/** A store in the data folder, or in a bucket. */
export type AnyStore = DiskStore | ObjectStore;

/** A store and its upstreams, opened for a command. */
export interface OpenedStore {
  readonly store: AnyStore;
  /** The bucket that has the store; absent for one in the data folder. */
  readonly bucket?: OpenedObjectStore;
  /** The store with the allowed upstreams behind it. */
  readonly source: PullThrough;
  /** The store alone, for clients that want only what is held. */
  readonly held: PullThrough;
  /** What limits the upstreams; absent for no limit. */
  readonly link?: OpenedUpstream["link"];
  /** Uses the upstreams of other settings; see `openUpstream`. */
  readonly reconfigure: OpenedUpstream["reconfigure"];
  /** Ends the work in the background, and saves the state of the cache limit for the next start. */
  close(): Promise<void>;
}

/** The options of `openAnyStore`. */
interface OpenStoreOptions extends Omit<UpstreamSettings, "fetch" | "timeouts"> {
  /** Whether blobs that are read from a bucket are copied to the data folder. */
  readonly hasCopies?: boolean;
  /** Size limit of the store, in bytes. Only for servers: a command that holds a lease evicts nothing. */
  readonly limit?: number | undefined;
  /** Whether a blob counts as held only after its content was hashed once. */
  readonly isHashing?: boolean;
  /** Lists the crpes that are found in the network at present; absent when none are looked for. */
  readonly listFoundPeers?: (() => readonly FoundPeer[]) | undefined;
  readonly onCacheEvent?: (event: CacheEvent) => void;
  readonly onEvict?: EvictorOptions["onEvict"];
}

// How long a client waits for the revalidation of a tag that the store has, in milliseconds.
const REVALIDATION_WAIT = 300;

/** Opens the store that the settings name, in a bucket or in the data folder, and the upstreams that they allow. */
export async function openAnyStore(settings: Settings, io: Io, options: OpenStoreOptions): Promise<OpenedStore> {
  const { warn, hasCopies = false, isHashing = false } = options;
  if (settings.store === undefined) {
    const store = new DiskStore(settings.data, { warn, isHashing });
    // Opening the limit evicts any excess at once. `opened.source` is still unset then, and no download is in progress.
    const opened: { source?: PullThrough } = {};
    const isBusy = (digest: Digest) => opened.source?.isDownloading(digest) ?? false;
    const room = await openLimit(settings.data, options, { store, isBusy });
    const content = await openSource({ store, room }, settings, { ...options, io });
    opened.source = content.source;
    return content;
  }
  // Loaded here so that only a store in a bucket pays for the modules.
  const { openObjectStore } = await import("./open_object_store.ts");
  const bucket = await openObjectStore(settings.store, settings, { io, warn, hasCopies });
  const content = await openSource({ store: bucket.store }, settings, { ...options, io });
  const close = async () => {
    await content.close();
    bucket.close();
  };
  return { ...content, bucket, close };
}

async function openSource(
  { store, room }: { readonly store: AnyStore; readonly room?: CacheLimit | undefined },
  settings: Settings,
  { io, ...options }: OpenStoreOptions & { readonly io: Io },
): Promise<OpenedStore> {
  const { warn, onCacheEvent: onEvent, listFoundPeers: listFound } = options;
  const upstream = settings.offline ? undefined : await openUpstream(settings, io, options);
  // Clients see the content of the repositories that they name. Commands may use all content of the store.
  const visible = options.isInteractive ? new LinkedStore(store) : store;
  const held = new PullThrough({ store: visible, space: room, warn, missingReason: "it is not in the store" });
  const peers = await openPeers(settings, io, options);
  const source = new PullThrough({
    store: visible,
    upstream: peers.length === 0 && listFound === undefined ? upstream?.source : new PeeredUpstream({
      ...{ peers, listFound, upstream: upstream?.source },
      now: () => performance.now(),
    }),
    space: room,
    tagTtl: settings.tagTtl,
    ...(options.isInteractive ? { revalidationWait: REVALIDATION_WAIT, isCompleting: settings.isCompleting } : {}),
    warn,
    onEvent,
  });
  const close = async () => {
    await source.stop();
    await room?.close();
    await upstream?.link?.[Symbol.asyncDispose]();
  };
  // A server that is offline has no upstreams to change.
  const reconfigure = async (changed: Settings) => await upstream?.reconfigure(changed);
  return { store, source, held, link: upstream?.link, reconfigure, close };
}

async function openLimit(
  root: string,
  { warn, onEvict, limit }: OpenStoreOptions,
  users: { store: DiskStore; isBusy: (digest: Digest) => boolean },
): Promise<CacheLimit | undefined> {
  if (limit === undefined) return undefined;
  // Loaded here so that only a limited cache pays for the modules.
  const { openCacheLimit } = await import("./open_cache_limit.ts");
  return await openCacheLimit({ root, limit, warn, ...users, onEvict });
}
