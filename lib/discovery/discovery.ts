import {
  type Announcement,
  formatAnnouncement,
  isQuestionFor,
  isResponse,
  QUERY,
  readAnnouncement,
} from "./announcement.ts";
import { DatagramFilter, type DatagramRefusal } from "./datagram_filter.ts";
import { FoundPeers } from "./found_peers.ts";
import type { MulticastSocket, OpenMulticastSocket } from "./multicast_socket.ts";
import { isOnLink, type NetworkAddress } from "./site_address.ts";

/** Why a datagram about a crpe is ignored. */
type IgnoredReason = DatagramRefusal | "malformed" | "address" | "full" | "banned";

/** The options of a `Discovery`. */
interface DiscoveryOptions {
  /** The network in which crpes are looked for. */
  readonly own: NetworkAddress;
  readonly open: OpenMulticastSocket;
  /** Called when a crpe was found, or is no longer there. @param host its address with the port */
  readonly onChange?: (change: "found" | "left", host: string) => void;
  /** Called for each datagram about a crpe that is ignored. */
  readonly onIgnored?: (reason: IgnoredReason) => void;
  /** Called when the network cannot be used for now. */
  readonly onProblem?: (error: Error) => void;
  /** Runs `action` after a time in milliseconds, unless the result is called before. */
  readonly after: (milliseconds: number, action: () => void) => () => void;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** From 0 up to, but not including, 1. */
  readonly random: () => number;
}

const QUERY_MILLISECONDS = 60_000;
// The first query and the announcement are repeated, because datagrams get lost (RFC 6762, sections 5.2 and 8.3).
const REPEAT_MILLISECONDS = 1000;
// An answer that other machines may give too is delayed, so that not all of them send at once (section 6).
const [MIN_DELAY, MAX_DELAY] = [20, 120];
// A record is sent at most once a second (section 6).
const ANSWER_MILLISECONDS = 1000;

/**
 * Finds other crpes of the network by multicast DNS (RFC 6762) and DNS-based service discovery (RFC 6763), and
 * announces this one. Nothing that is received is authenticated.
 */
export class Discovery {
  /** The random identity of this process, by which it recognizes its own announcements. */
  readonly #id: string;
  readonly #options: DiscoveryOptions;
  readonly #peers: FoundPeers;
  readonly #timers = new Set<() => void>();
  #socket: MulticastSocket | undefined;
  #own: Announcement | undefined;
  #isAnswering = false;
  #answeredAt = -Infinity;
  #problem: string | undefined;
  #stopped: Promise<void> | undefined;

  private constructor(id: string, options: DiscoveryOptions) {
    this.#id = id;
    this.#options = options;
    this.#peers = new FoundPeers(options);
  }

  /** Begins to look for other crpes. @throws {Error} when the port of multicast DNS cannot be used */
  static async start(options: DiscoveryOptions): Promise<Discovery> {
    const id = Uint8Array.from({ length: 8 }, () => Math.floor(options.random() * 256)).toHex();
    const discovery = new Discovery(id, options);
    const filter = new DatagramFilter(options.now);
    discovery.#socket = await options.open(options.own.address, {
      admits: (datagram, sender) => {
        const result = filter.admit(datagram, sender);
        if (typeof result === "string") options.onIgnored?.(result);
        return result === true;
      },
      onMessage: (message, sender) => discovery.#receive(message, sender),
      onMalformed: () => options.onIgnored?.("malformed"),
      onProblem: (error) => discovery.#report(error),
    });
    discovery.#query();
    discovery.#after(REPEAT_MILLISECONDS, () => discovery.#query());
    discovery.#queryRegularly();
    return discovery;
  }

  /** Lists the crpes that were found, as addresses with ports. */
  list(): string[] {
    return this.#peers.list();
  }

  /** Reports that a crpe of `list` sent content that is not what it should be; those of its machine are not used for an hour. */
  ban(host: string): void {
    this.#peers.ban(host);
  }

  /** Announces this crpe, whose registry listens on a port of the network's address, until `stop`. */
  announce(port: number): void {
    const { address } = this.#options.own;
    this.#own = { id: this.#id, address, port };
    this.#sendOwn();
    this.#after(REPEAT_MILLISECONDS, () => this.#sendOwn());
  }

  /** Tells the other ones that this crpe is leaving, and ends the search. */
  stop(): Promise<void> {
    return this.#stopped ??= this.#stop();
  }

  async #stop(): Promise<void> {
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    const [socket, own] = [this.#socket, this.#own];
    this.#socket = this.#own = undefined;
    if (socket === undefined) return;
    if (own !== undefined) await socket.send(formatAnnouncement(own, { isLeaving: true })).catch(() => {});
    await socket.close();
  }

  #receive(message: unknown, sender: string): void {
    if (isQuestionFor(message, this.#id)) return this.#answer();
    const announcement = readAnnouncement(message);
    if (announcement?.id === this.#id) return;
    const { own, onIgnored } = this.#options;
    if (announcement === undefined) return isResponse(message) ? onIgnored?.("malformed") : undefined;
    if (!isOnLink(announcement.address, { sender, own })) return onIgnored?.("address");
    const result = this.#peers.note(announcement);
    if (result === "full" || result === "banned") onIgnored?.(result);
  }

  #answer(): void {
    if (this.#own === undefined || this.#isAnswering) return;
    this.#isAnswering = true;
    const { now, random } = this.#options;
    const pause = this.#answeredAt + ANSWER_MILLISECONDS - now();
    this.#after(Math.max(MIN_DELAY + random() * (MAX_DELAY - MIN_DELAY), pause), () => {
      this.#isAnswering = false;
      this.#sendOwn();
    });
  }

  #sendOwn(): void {
    if (this.#own === undefined) return;
    this.#answeredAt = this.#options.now();
    this.#send(formatAnnouncement(this.#own));
  }

  #queryRegularly(): void {
    this.#after(QUERY_MILLISECONDS, () => {
      this.#query();
      // Reports those that have left without a word.
      this.list();
      this.#queryRegularly();
    });
  }

  #query(): void {
    this.#send(QUERY);
  }

  #send(message: Parameters<MulticastSocket["send"]>[0]): void {
    this.#socket?.send(message).then(() => this.#problem = undefined, (error) => this.#report(error));
  }

  // A problem that lasts is reported once.
  #report(error: Error): void {
    if (this.#problem === error.message) return;
    this.#problem = error.message;
    this.#options.onProblem?.(error);
  }

  #after(milliseconds: number, action: () => void): void {
    const cancel = this.#options.after(milliseconds, () => {
      this.#timers.delete(cancel);
      action();
    });
    this.#timers.add(cancel);
  }
}
