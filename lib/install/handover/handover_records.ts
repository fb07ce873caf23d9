import { removeIfPresent, writeFileDurably } from "../../files/durable.ts";
import { isPackageName, type KubePkg } from "../../kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../kubepkg/parse_kubepkg.ts";
import { CorruptError } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import { INGEST } from "../../store/layout.ts";
import type { HandoverPlace } from "./handover.ts";

/** A release that was handed over, and the place. */
export interface HandedOver {
  readonly place: HandoverPlace;
  /** Not necessarily the installed release, which may have been imported without a hand-over. */
  readonly kubepkg: KubePkg;
}

const LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 128 };

/** The records of hand-overs, one for each package, in `<data>/kubepkg/<name>/handover.json`. */
export class HandoverRecords {
  readonly #root: string;
  readonly #ingest: string;
  readonly #randomName: () => string;

  /** @param data the data folder */
  constructor(data: string, randomName: () => string = () => crypto.randomUUID()) {
    this.#root = `${data}/kubepkg`;
    this.#ingest = `${data}/${INGEST}`;
    this.#randomName = randomName;
  }

  /** Returns the last hand-over of a package. @throws {CorruptError} when the record is not valid */
  async read(name: string): Promise<HandedOver | undefined> {
    if (!isPackageName(name)) return undefined;
    const path = this.#path(name);
    try {
      return parseHandedOver(await Deno.readFile(path), path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /** Records a hand-over durably. */
  async write({ place, kubepkg }: HandedOver): Promise<void> {
    // The list of digests is left out; the record of the package has it.
    const { status: _, ...rest } = kubepkg;
    const bytes = new TextEncoder().encode(`${JSON.stringify({ place, kubepkg: rest }, undefined, 2)}\n`);
    const path = this.#path(kubepkg.metadata.name);
    await writeFileDurably(path, bytes, { temporary: `${this.#ingest}/${this.#randomName()}.tmp` });
  }

  /** Removes the record of a package: nothing of it is handed over any more. */
  async remove(name: string): Promise<void> {
    await removeIfPresent(this.#path(name));
  }

  #path(name: string): string {
    return `${this.#root}/${name}/handover.json`;
  }
}

/** Reports whether two places are the same. */
export function isSamePlace(a: HandoverPlace, b: HandoverPlace): boolean {
  if ("kubectl" in a || "kubectl" in b) return "kubectl" in a && "kubectl" in b;
  return a.manifestsDir === b.manifestsDir;
}

function parseHandedOver(bytes: Uint8Array, path: string): HandedOver {
  const json = parseJson(bytes, path, LIMITS);
  const { place, kubepkg } = isJsonObject(json) ? json : {};
  return { place: parsePlace(place, path), kubepkg: parseKubePkg(kubepkg, path) };
}

function parsePlace(place: unknown, path: string): HandoverPlace {
  if (isJsonObject(place)) {
    if (place.kubectl === true) return { kubectl: true };
    if (typeof place.manifestsDir === "string") return { manifestsDir: place.manifestsDir };
  }
  throw new CorruptError(`Cannot use ${path}: it does not say where the package was handed over to; import it again`);
}
