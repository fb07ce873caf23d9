import { CostLimit } from "./cost_limit.ts";

/** Why a datagram is not decoded. */
export type DatagramRefusal = "size" | "limit";

// Announcements and queries of crpe have less than 400 bytes. The time to decode a datagram grows with the square of
// its size, as every name in it may be a chain of pointers.
const MAX_BYTES = 1500;
// The part of the service type that every message about crpes contains, as no label is compressed where it is first.
const LABEL = new TextEncoder().encode("_crpe");
// What is decoded, in bytes: of one sender, and of all together.
const SENDER = { burst: 16 * 1024, rate: 2 * 1024 };
const ALL = { burst: 128 * 1024, rate: 16 * 1024 };
const MAX_SENDERS = 256;

/** Decides which datagrams are decoded. Any machine of the network can send as many as it likes, about any service. */
export class DatagramFilter {
  readonly #now: () => number;
  readonly #all: CostLimit;
  readonly #senders = new Map<string, CostLimit>();

  /** @param now monotonic clock, in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
    this.#all = new CostLimit({ ...ALL, now });
  }

  /**
   * Reports whether a datagram is decoded.
   *
   * @param sender the address that it came from
   * @returns `true`, or the reason why not; `undefined` for one about other services
   */
  admit(datagram: Uint8Array, sender: string): true | DatagramRefusal | undefined {
    if (datagram.length > MAX_BYTES) return "size";
    if (!hasLabel(datagram)) return undefined;
    return this.#limitOf(sender).spend(datagram.length) && this.#all.spend(datagram.length) ? true : "limit";
  }

  #limitOf(sender: string): CostLimit {
    const found = this.#senders.get(sender);
    if (found !== undefined) return found;
    if (this.#senders.size >= MAX_SENDERS) this.#senders.delete(this.#senders.keys().next().value!);
    const limit = new CostLimit({ ...SENDER, now: this.#now });
    this.#senders.set(sender, limit);
    return limit;
  }
}

function hasLabel(datagram: Uint8Array): boolean {
  for (let at = datagram.indexOf(LABEL[0]!); at >= 0; at = datagram.indexOf(LABEL[0]!, at + 1)) {
    if (LABEL.every((byte, i) => datagram[at + i] === byte)) return true;
  }
  return false;
}
