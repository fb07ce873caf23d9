import { createHash } from "node:crypto";
import { createFolder, removeIfPresent } from "../files/durable.ts";
import { ifPresent, isAbsent } from "../files/if_present.ts";
import { inheritOwner, openOwned } from "../files/inherit_owner.ts";
import { parentOf } from "../files/parent_of.ts";

/** How long a one-time code is valid, in milliseconds. */
export const CODE_MILLISECONDS = 10 * 60 * 1000;

const CODE_BYTES = 16;
// RFC 4648, 6, in lower case: no two characters look alike, and none needs an escape in a URL.
const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";

/** The dependencies of `PairingCodes`. */
interface PairingOptions {
  /** The time in milliseconds since 1970. */
  readonly now?: () => number;
  readonly randomBytes?: (length: number) => Uint8Array;
}

/** A one-time code. */
export interface PairingCode {
  readonly code: string;
  /** When it expires, in milliseconds since 1970. */
  readonly expires: number;
}

/** What a code was worth: `used` stands for an unknown code too, because a used one leaves no trace. */
type Redemption = "accepted" | "expired" | "used";

/**
 * One-time codes that are exchanged for the token. Each is a file in the data folder that is named by the hash of the code,
 * so that `crpe agent --pair` can make a code for a server that is running. Removing the file redeems the code: of several
 * requests only one can do that.
 */
export class PairingCodes {
  readonly #folder: string;
  readonly #now: () => number;
  readonly #randomBytes: (length: number) => Uint8Array;

  /** @param data the data folder */
  constructor(data: string, options: PairingOptions = {}) {
    this.#folder = `${data}/kubepkg/.codes`;
    this.#now = options.now ?? Date.now;
    this.#randomBytes = options.randomBytes ?? ((length) => crypto.getRandomValues(new Uint8Array(length)));
  }

  /** Creates a code, and removes the expired ones. What root creates is given to the owner of the data folder. */
  async create(): Promise<PairingCode> {
    await this.#createFolder();
    await this.#removeExpired();
    const code = encodeBase32(this.#randomBytes(CODE_BYTES));
    const expires = this.#now() + CODE_MILLISECONDS;
    using file = await openOwned(this.#pathOf(code), { write: true, createNew: true, mode: 0o600 });
    // One write: a file of this length is written whole, or not at all.
    await file.write(new TextEncoder().encode(`${expires}\n`));
    return { code, expires };
  }

  /** Redeems a code. A second call with the same code has the result `used`. */
  async redeem(code: string): Promise<Redemption> {
    const path = this.#pathOf(code);
    try {
      const expires = Number(await Deno.readTextFile(path));
      await Deno.remove(path);
      return this.#isValid(expires) ? "accepted" : "expired";
    } catch (error) {
      if (isAbsent(error)) return "used";
      throw error;
    }
  }

  // A clock that was set back must not make a code valid for longer.
  #isValid(expires: number): boolean {
    const left = expires - this.#now();
    return left > 0 && left <= CODE_MILLISECONDS;
  }

  async #createFolder(): Promise<void> {
    await createFolder(parentOf(this.#folder));
    try {
      Deno.mkdirSync(this.#folder, { mode: 0o700 });
      inheritOwner(this.#folder);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }

  async #removeExpired(): Promise<void> {
    for await (const { name } of Deno.readDir(this.#folder)) {
      const path = `${this.#folder}/${name}`;
      const expires = await ifPresent(Deno.readTextFile(path));
      if (expires !== undefined && !this.#isValid(Number(expires))) await removeIfPresent(path);
    }
  }

  #pathOf(code: string): string {
    return `${this.#folder}/${createHash("sha256").update(code).digest("hex")}`;
  }
}

function encodeBase32(bytes: Uint8Array): string {
  let text = "";
  let [bits, value] = [0, 0];
  for (const byte of bytes) {
    value = (value << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(value >> (bits - 5)) & 31];
    value &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + ALPHABET[(value << (5 - bits)) & 31];
}
