import type { PlainWindow } from "./models/model.ts";

/** A window moves by multiples of this, so that a model may use an index modulo a power of two up to it. */
const SLIDE_UNIT = 65_536;
/** Stored blocks are predicted over their longest size, and one match more. */
const STORED_LOOKAHEAD = 65_535 + 258;
/** Decoding needs so many bytes before the next one, whatever the model needs. */
const FARTHEST_MATCH = 32_768;
/** The window moves by at least so many bytes. */
const ROOM = 4 * SLIDE_UNIT;

/** The plain bytes of a member around the position that is predicted. */
export class MemberWindow implements PlainWindow {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Bytes after a position that must be here, unless the member has ended, before it is predicted. */
  readonly lookahead: number;
  length = 0;
  origin = 0;
  ended = false;
  /** The index of the next byte to predict. */
  at = 0;
  readonly #history: number;

  constructor({ history, lookahead }: { history: number; lookahead: number }) {
    this.#history = Math.max(history, FARTHEST_MATCH);
    this.lookahead = lookahead + STORED_LOOKAHEAD;
    this.bytes = new Uint8Array(this.#history + this.lookahead + ROOM + SLIDE_UNIT);
  }

  /** `true` when everything that a prediction of the next position reads is here. */
  get isReady(): boolean {
    return this.ended || this.length - this.at >= this.lookahead;
  }

  /** The bytes that there is room for. */
  get room(): number {
    return this.bytes.length - this.length;
  }

  /** The position of the next byte in the member. */
  get position(): number {
    return this.origin + this.at;
  }

  /** Forgets everything, for the next member. */
  reset(): void {
    this.length = this.origin = this.at = 0;
    this.ended = false;
  }

  /** Drops what no prediction reads any more. @returns the bytes that were dropped: a multiple of `SLIDE_UNIT` */
  slide(): number {
    const count = this.at - this.#history;
    // Models adjust large tables: rarely, and for much at once.
    if (count < ROOM) return 0;
    const dropped = count - count % SLIDE_UNIT;
    this.bytes.copyWithin(0, dropped, this.length);
    this.length -= dropped;
    this.at -= dropped;
    this.origin += dropped;
    return dropped;
  }
}
