import { CostLimit } from "./cost_limit.ts";

/** Why a datagram is not decoded. */
export type DatagramRefusal = "size" | "limit" | "malformed";

// Announcements and queries of crpe have less than 400 bytes. The time to decode a datagram grows with the square of
// its size, as every name in it may be a chain of pointers.
const MAX_BYTES = 1500;
// The part of the service type that every message about crpes contains, as no label is compressed where it is first.
const LABEL = new TextEncoder().encode("_crpe");
// The header of a message: six numbers of two bytes, of which the last four count questions and records.
const HEADER_BYTES = 12;
// The shortest question: a name of one byte, its type and its class.
const MIN_RECORD_BYTES = 5;
// What a datagram costs at least, however short it is.
const MIN_COST = 256;
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
    if (!hasRoomForRecords(datagram)) return "malformed";
    const cost = Math.max(datagram.length, MIN_COST);
    return this.#limitOf(sender).spend(cost) && this.#all.spend(cost) ? true : "limit";
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

// A decoder allocates what the header announces, which may be 262,140 records in a few bytes.
function hasRoomForRecords(datagram: Uint8Array): boolean {
  if (datagram.length < HEADER_BYTES) return false;
  const view = new DataView(datagram.buffer, datagram.byteOffset, HEADER_BYTES);
  const count = [4, 6, 8, 10].reduce((sum, at) => sum + view.getUint16(at), 0);
  return count * MIN_RECORD_BYTES <= datagram.length - HEADER_BYTES;
}

function hasLabel(datagram: Uint8Array): boolean {
  for (let at = datagram.indexOf(LABEL[0]!); at >= 0; at = datagram.indexOf(LABEL[0]!, at + 1)) {
    if (LABEL.every((byte, i) => datagram[at + i] === byte)) return true;
  }
  return false;
}
