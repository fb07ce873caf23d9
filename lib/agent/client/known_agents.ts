import { ifPresent } from "../../files/if_present.ts";
import { holdLock } from "../../files/locked_file.ts";
import { cannot, CorruptError } from "../../oci/error.ts";
import { writePrivateFile } from "../../store/private_file.ts";

const LINE = /^(\S+) (sha256:[0-9a-f]{64})$/;

/**
 * The agents whose certificates were pinned, as `known_hosts` of ssh: `kubepkg/.known-agents` in the data folder of the sender,
 * a line `HOST:PORT FINGERPRINT` each.
 */
export class KnownAgents {
  readonly #data: string;
  /** The path of the file. */
  readonly path: string;

  /** @param data the data folder */
  constructor(data: string) {
    this.#data = data;
    this.path = `${data}/kubepkg/.known-agents`;
  }

  /** Returns the fingerprint of an agent. @param host with its port @throws {CorruptError} for a file that cannot be read */
  async find(host: string): Promise<string | undefined> {
    return (await this.#read()).get(host);
  }

  /** Remembers the fingerprint of an agent, in place of an earlier one. */
  async add(host: string, fingerprint: string): Promise<void> {
    if (await this.find(host) === fingerprint) return;
    using _lock = await holdLock(`${this.#data}/ingest/known-agents.lock`);
    const known = (await this.#read()).set(host, fingerprint);
    const text = [...known].sort().map(([host, fingerprint]) => `${host} ${fingerprint}\n`).join("");
    await writePrivateFile(this.#data, this.path, text);
  }

  async #read(): Promise<Map<string, string>> {
    const lines = (await ifPresent(Deno.readTextFile(this.path)) ?? "").split("\n");
    return new Map(
      lines.filter((line) => line.trim() !== "").map((line) => {
        const [, host, fingerprint] = LINE.exec(line) ?? [];
        if (host !== undefined && fingerprint !== undefined) return [host, fingerprint];
        throw new CorruptError(
          cannot(`read ${this.path}`, "a line of it is not HOST:PORT and a fingerprint", "remove that line"),
        );
      }),
    );
  }
}
