import { writeFileDurably } from "../../files/durable.ts";
import { ifPresent } from "../../files/if_present.ts";
import { holdLock } from "../../files/locked_file.ts";
import { CorruptError, CrpeError } from "../../oci/error.ts";
import { createKeyPair, parsePrivateKey, type PrivateKey } from "../../signature/keys.ts";
import { temporaryPath } from "../../store/layout.ts";

const OWNER_ONLY = { mode: 0o600 };

/** The key pair of a node, which signs its receipts: `kubepkg/.node-key.pem` in the data folder, Ed25519. */
export class NodeKey {
  readonly #data: string;
  readonly #path: string;

  /** @param data the data folder */
  constructor(data: string) {
    this.#data = data;
    this.#path = `${data}/kubepkg/.node-key.pem`;
  }

  /** Reads the key; `undefined` if there is none yet. @throws {CorruptError} when the file is damaged */
  async read(): Promise<PrivateKey | undefined> {
    const pem = await ifPresent(Deno.readTextFile(this.#path));
    if (pem === undefined) return undefined;
    return await parsePrivateKey(pem, { what: this.#path }).catch((cause) => {
      if (!(cause instanceof CrpeError)) throw cause;
      const { action, reason } = cause;
      throw new CorruptError({ action, reason, advice: "delete the file to make a new key" }, { cause });
    });
  }

  /** Reads the key, and makes it if there is none yet. */
  async ensure(): Promise<PrivateKey> {
    const key = await this.read();
    if (key !== undefined) return key;
    using _lock = await holdLock(`${this.#data}/ingest/node-key.lock`);
    // Another process may have made it meanwhile.
    const made = await this.read();
    if (made !== undefined) return made;
    const { privateKey } = createKeyPair("ed25519");
    const temporary = temporaryPath(this.#data);
    await writeFileDurably(this.#path, new TextEncoder().encode(privateKey), { temporary, ownership: OWNER_ONLY });
    return (await this.read())!;
  }
}
