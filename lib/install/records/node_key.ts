import { ifPresent } from "../../files/if_present.ts";
import { CorruptError, CrpeError } from "../../oci/error.ts";
import { createKeyPair, parsePrivateKey, type PrivateKey } from "../../signature/keys.ts";
import { readOrMake, writePrivateFile } from "../../store/private_file.ts";

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
    return await readOrMake(
      this.#data,
      () => this.read(),
      () => writePrivateFile(this.#data, this.#path, createKeyPair("ed25519").privateKey),
    );
  }
}
