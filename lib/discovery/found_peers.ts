import type { ReceivedAnnouncement } from "./announcement.ts";

/** What became of an announcement. */
type NoteResult = "found" | "known" | "left" | "full" | "banned";

/** The options of `FoundPeers`. */
interface FoundPeersOptions {
  /** Called when a crpe was found, or is no longer there. @param host its address with the port */
  readonly onChange?: (change: "found" | "left", host: string) => void;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
}

// Each request for missing content is sent to all of them.
const MAX_PEERS = 32;
const MAX_OF_ADDRESS = 8;
const BAN_MILLISECONDS = 60 * 60_000;
const MAX_BANNED = 256;

interface Entry {
  readonly id: string;
  readonly address: string;
  readonly until: number;
}

/** The crpes that were found, until their announcements end. */
export class FoundPeers {
  readonly #options: FoundPeersOptions;
  /** By address and port. */
  readonly #entries = new Map<string, Entry>();
  /** Addresses whose crpes are not used, with the time until which. */
  readonly #banned = new Map<string, number>();

  constructor(options: FoundPeersOptions) {
    this.#options = options;
  }

  /** Records an announcement. */
  note({ id, address, port, ttl }: ReceivedAnnouncement): NoteResult {
    const host = `${address}:${port}`;
    const now = this.#options.now();
    if (ttl === 0) {
      if (this.#entries.get(host)?.id === id) this.#remove(host);
      return "left";
    }
    if (now < (this.#banned.get(address) ?? -Infinity)) return "banned";
    const isKnown = this.#entries.has(host);
    if (!isKnown && !this.#hasRoomFor(address)) return "full";
    this.#entries.set(host, { id, address, until: now + ttl * 1000 });
    if (isKnown) return "known";
    this.#options.onChange?.("found", host);
    return "found";
  }

  /** Lists the crpes that were found, as addresses with ports. */
  list(): string[] {
    const now = this.#options.now();
    for (const [host, { until }] of [...this.#entries]) if (now >= until) this.#remove(host);
    return [...this.#entries.keys()];
  }

  /** Forgets the crpes of a machine, and does not accept them for an hour, because it sent content that is not right. */
  ban(host: string): void {
    const address = this.#entries.get(host)?.address;
    if (address === undefined) return;
    if (this.#banned.size >= MAX_BANNED) this.#banned.delete(this.#banned.keys().next().value!);
    this.#banned.set(address, this.#options.now() + BAN_MILLISECONDS);
    for (const [each, entry] of [...this.#entries]) if (entry.address === address) this.#remove(each);
  }

  #hasRoomFor(address: string): boolean {
    const entries = this.list().map((host) => this.#entries.get(host)!);
    return entries.length < MAX_PEERS && entries.filter((entry) => entry.address === address).length < MAX_OF_ADDRESS;
  }

  #remove(host: string): void {
    if (this.#entries.delete(host)) this.#options.onChange?.("left", host);
  }
}
