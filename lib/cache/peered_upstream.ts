import type { ListOptions, ReferrerList, TagPage } from "../content/source.ts";
import { withinTime } from "../bytes/within_time.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import { type Descriptor, parseManifest } from "../oci/manifest.ts";
import { continueWith } from "./continue_with.ts";
import type { AskBlobOptions, AskOptions } from "../content/ask_options.ts";
import type { Upstream, UpstreamBlob } from "./upstream.ts";

/** Another crpe. It answers only from its store. */
export type Peer = Pick<
  Upstream,
  "resolve" | "readManifest" | "statBlob" | "openBlobWith" | "listTags" | "listReferrers"
>;

/**
 * Another crpe that was found in the network, and that any machine there may claim to be. Only whole content is asked of
 * it, by its digest.
 */
export type FoundPeer = Pick<Upstream, "readManifest" | "statBlob" | "openBlobWith">;

/** Options of a `PeeredUpstream`. */
interface PeeredUpstreamOptions {
  /** The peers that the settings name. */
  readonly peers: readonly Peer[];
  /** Returns the peers that are found at present. Default: none. */
  readonly listFound?: (() => readonly FoundPeer[]) | undefined;
  /** Asked for what no peer holds; absent when no upstream may be used. */
  readonly upstream: Upstream | undefined;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
}

// How long peers have to say what they hold, in milliseconds: they are near, or not worth waiting for.
const PEER_MILLISECONDS = 300;
// A blob that is asked for again within this time did not arrive, or was corrupt: it then comes from the upstream.
const AVOID_MILLISECONDS = 10 * 60_000;
const MAX_AVOIDED = 10_000;
// Any machine can announce itself, and hold up downloads for ever with a byte now and then. A peer in the same network
// that sends less than 128 KiB/s is no gain.
const FOUND_PACE = { milliseconds: 5000, bytes: 640 * 1024 };

/**
 * An upstream with other crpes of the site in front of it: what one of them holds crosses the link to the upstream only
 * once. Content is asked for by its digest and verified as ever. Tags are those of the upstream; those of a peer that the
 * settings name count when the upstream cannot be asked or does not have them.
 */
export class PeeredUpstream implements Upstream {
  readonly #peers: readonly Peer[];
  readonly #listFound: () => readonly FoundPeer[];
  readonly #upstream: Upstream | undefined;
  readonly #now: () => number;
  // Blobs that a peer has begun to send, with the time until which they come from the upstream.
  readonly #tried = new Map<Digest, number>();

  constructor({ peers, listFound = () => [], upstream, now }: PeeredUpstreamOptions) {
    this.#peers = peers;
    this.#listFound = listFound;
    this.#upstream = upstream;
    this.#now = now;
  }

  /** Whether only the peers may be asked for a repository. */
  hasOnlyPeers(repo: string): boolean {
    return this.#upstreamOf(repo) === undefined;
  }

  knowsTags(repo: string): boolean {
    return this.#peers.length > 0 || this.#upstreamOf(repo) !== undefined;
  }

  async closedUntil(repo: string): Promise<number | undefined> {
    return await this.#upstreamOf(repo)?.closedUntil?.(repo);
  }

  async resolve(repo: string, tagOrDigest: string): Promise<Descriptor | undefined> {
    const ask = (source: Peer) => source.resolve(repo, tagOrDigest);
    if (!isDigest(tagOrDigest)) return await this.#askUpstreamFirst(repo, ask, ask);
    return await this.#askPeers(ask, (peer) => describeManifest(peer, repo, tagOrDigest)) ??
      await this.#askUpstream(repo, ask);
  }

  async headManifest(repo: string, tag: string, options?: AskOptions): Promise<Descriptor | undefined> {
    return await this.#askUpstreamFirst(
      repo,
      (upstream) => upstream.headManifest(repo, tag, options),
      (peer) => peer.resolve(repo, tag),
    );
  }

  async readManifest(repo: string, digest: Digest, options?: AskOptions): Promise<Uint8Array | undefined> {
    const ask = (source: Peer) => source.readManifest(repo, digest, options);
    return await this.#askPeers(ask, (peer) => readManifestAnew(peer, repo, digest)) ??
      await this.#askUpstream(repo, ask);
  }

  // The size gives a repository the right to a blob that its registry gave to another one. What anyone may answer is no
  // proof, so that peers that were found are not asked.
  async statBlob(repo: string, digest: Digest): Promise<number | undefined> {
    const ask = (source: Peer) => source.statBlob(repo, digest);
    return await this.#askPeers(ask) ?? await this.#askUpstream(repo, ask);
  }

  async openBlobWith(repo: string, digest: Digest, options: AskBlobOptions): Promise<UpstreamBlob | undefined> {
    return await this.#openAtPeer(repo, digest, options) ??
      await this.#askUpstream(repo, (upstream) => upstream.openBlobWith(repo, digest, options));
  }

  async listTags(repo: string, options?: ListOptions): Promise<TagPage | undefined> {
    const ask = (source: Peer) => source.listTags(repo, options);
    return await this.#askUpstreamFirst(repo, ask, ask);
  }

  async listReferrers(repo: string, digest: Digest): Promise<ReferrerList> {
    const ask = (source: Peer) => source.listReferrers(repo, digest);
    return await this.#askUpstreamFirst(repo, ask, ask) ?? { referrers: [] };
  }

  async #openAtPeer(
    repo: string,
    digest: Digest,
    options: AskBlobOptions,
  ): Promise<UpstreamBlob | undefined> {
    const upstream = this.#upstreamOf(repo);
    if (upstream !== undefined && this.#now() < (this.#tried.get(digest) ?? -Infinity)) return undefined;
    const { size: expected, range } = options;
    const findAt = async (peer: FoundPeer) => {
      const size = await peer.statBlob(repo, digest);
      return size !== undefined && size === (expected ?? size) ? peer : undefined;
    };
    // Parts of a blob cannot be verified alone, and the part before them may be of a repository that a client of this one
    // must not read.
    const peer = await this.#askPeers(findAt, range === undefined ? findAt : undefined);
    if (peer === undefined) return undefined;
    try {
      const received = await peer.openBlobWith(repo, digest, options);
      if (received === undefined) return undefined;
      this.#noteTry(digest);
      // Without an upstream, nothing could complete the part that a peer that was found has sent.
      const isNamed = this.#peers.some((each) => each === peer);
      const isKept = upstream !== undefined || isNamed;
      const opened: UpstreamBlob = { ...received, isFromPeer: true, isKept };
      const { size, start, length } = opened;
      if (upstream === undefined || length === undefined) return opened;
      const openRest = async (at: number) => {
        if (options.signal?.aborted) return undefined;
        const range = { start: at, end: start + length - 1 };
        return (await upstream.openBlobWith(repo, digest, { ...options, range, size }))?.body;
      };
      const pace = isNamed ? undefined : { ...FOUND_PACE, now: this.#now };
      return { ...opened, body: continueWith(opened.body, openRest, { start, pace }) };
    } catch (error) {
      if (!(error instanceof RegistryError) || error.code === "RANGE_INVALID") throw error;
      return undefined;
    }
  }

  #noteTry(digest: Digest): void {
    if (this.#tried.size >= MAX_AVOIDED) this.#tried.clear();
    this.#tried.set(digest, this.#now() + AVOID_MILLISECONDS);
  }

  #upstreamOf(repo: string): Upstream | undefined {
    return this.#upstream?.allows?.(repo) === false ? undefined : this.#upstream;
  }

  async #askUpstream<T>(repo: string, ask: (upstream: Upstream) => Promise<T>): Promise<T | undefined> {
    const upstream = this.#upstreamOf(repo);
    return upstream === undefined ? undefined : await ask(upstream);
  }

  /** Asks the upstream, and the peers when it fails or has nothing; its failure is thrown if they have nothing either. */
  async #askUpstreamFirst<T>(
    repo: string,
    ask: (upstream: Upstream) => Promise<T | undefined>,
    askPeer: (peer: Peer) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    let failure: unknown;
    try {
      const found = await this.#askUpstream(repo, ask);
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      failure = error;
    }
    const found = await this.#askPeers(askPeer);
    if (found === undefined && failure !== undefined) throw failure;
    return found;
  }

  /**
   * Asks all peers at once.
   *
   * @param askFound asks a peer that was found; absent when these are not asked
   * @returns the first answer in time; `undefined` when none of them has the content
   */
  async #askPeers<T>(
    ask: (peer: Peer) => Promise<T | undefined>,
    askFound?: (peer: FoundPeer) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const found = askFound === undefined ? [] : this.#listFound();
    const asked = [...this.#peers.map(ask), ...found.map((peer) => askFound!(peer))];
    const answers = asked.map(async (asked) => {
      const answer = await asked;
      if (answer === undefined) throw new Error("the peer does not have it");
      return answer;
    });
    // A peer that fails does not have the content.
    return await withinTime(Promise.any(answers).catch(() => undefined), PEER_MILLISECONDS);
  }
}

// The Content-Type of a peer that was found says nothing, so that the manifest is parsed without it.
async function readManifestAnew(peer: FoundPeer, repo: string, digest: Digest): Promise<Uint8Array | undefined> {
  return (await peer.readManifest(repo, digest))?.slice();
}

async function describeManifest(peer: FoundPeer, repo: string, digest: Digest): Promise<Descriptor | undefined> {
  const bytes = await readManifestAnew(peer, repo, digest);
  return bytes && { mediaType: parseManifest(bytes).mediaType, digest, size: bytes.length };
}
