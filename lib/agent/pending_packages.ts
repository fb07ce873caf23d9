import { sweepPieces } from "../content/data_folder.ts";
import { removeIfThere, writeFileDurably } from "../content/durable.ts";
import { INGEST } from "../content/layout.ts";
import { listFolder } from "../content/list_folder.ts";
import { type KubePkg, parseKubePkg } from "../kubepkg/kubepkg.ts";
import type { PendingPackage } from "../kubepkg/pending_package.ts";
import { identityOf } from "../kubepkg/version.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";

export type { PendingPackage } from "../kubepkg/pending_package.ts";

const LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 128 };

/**
 * The packages that are on their way, at most one of a name, as `<data>/kubepkg/<name>/pending.json`. What they name is
 * kept by collectors although nothing else refers to it.
 */
export class PendingPackages {
  readonly #data: string;
  readonly #root: string;
  readonly #ingest: string;
  readonly #randomName: () => string;

  /** @param data the data folder */
  constructor(data: string, randomName: () => string = () => crypto.randomUUID()) {
    this.#data = data;
    this.#root = `${data}/kubepkg`;
    this.#ingest = `${data}/${INGEST}`;
    this.#randomName = randomName;
  }

  /** What has come of a package. @throws {CorruptError} when it cannot be read */
  async read(name: string): Promise<PendingPackage | undefined> {
    const path = this.#path(name);
    try {
      return parsePending(await Deno.readFile(path), path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /** All packages that are on their way, sorted by name. */
  async list(): Promise<PendingPackage[]> {
    const found: PendingPackage[] = [];
    const folders = (await listFolder(this.#root) ?? []).filter(({ isDirectory }) => isDirectory);
    for (const { name } of folders.sort((a, b) => a.name < b.name ? -1 : 1)) {
      const pending = await this.read(name);
      if (pending !== undefined) found.push(pending);
    }
    return found;
  }

  /** Says what has come of a package, durably, in the place of what was said before. */
  async write(pending: PendingPackage): Promise<void> {
    const bytes = new TextEncoder().encode(`${JSON.stringify(pending, undefined, 2)}\n`);
    const path = this.#path(pending.kubepkg.metadata.name);
    await writeFileDurably(`${this.#ingest}/${this.#randomName()}.tmp`, path, bytes);
  }

  /** Says that a package is on its way no more; pieces of blobs that only it waited for go. */
  async remove(name: string): Promise<void> {
    const pending = await this.read(name).catch(undefinedIfCorrupt);
    await removeIfThere(this.#path(name));
    if (pending === undefined) return;
    const digests = digestsOf(pending);
    const others = await this.list().catch(undefinedIfCorrupt);
    // Nobody knows what that one waits for: a collection will see to it.
    if (others === undefined) return;
    const wanted = new Set(others.flatMap((other) => [...digestsOf(other)]));
    await sweepPieces(this.#data, (digest) => wanted.has(digest) || !digests.has(digest));
  }

  /** As `remove`, unless what is on its way is another release. */
  async settle(kubepkg: KubePkg): Promise<void> {
    const { name } = kubepkg.metadata;
    const pending = await this.read(name).catch(undefinedIfCorrupt);
    if (pending !== undefined && identityOf(pending.kubepkg) === identityOf(kubepkg)) await this.remove(name);
  }

  #path(name: string): string {
    return `${this.#root}/${name}/pending.json`;
  }
}

function digestsOf({ kubepkg }: PendingPackage): Set<Digest> {
  return new Set((kubepkg.status?.digests ?? []).map(({ digest }) => digest));
}

function undefinedIfCorrupt(error: unknown): undefined {
  if (!(error instanceof CorruptError)) throw error;
}

function parsePending(bytes: Uint8Array, path: string): PendingPackage {
  const json = parseJson(bytes, path, LIMITS);
  const { kubepkg, part } = isJsonObject(json) ? json : {};
  const parsed = { kubepkg: parseKubePkg(kubepkg, path) };
  if (part === undefined) return parsed;
  const { id, count, came } = isJsonObject(part) ? part : {};
  const isNumber = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;
  if (!isDigest(id) || !isNumber(count) || !Array.isArray(came) || !came.every(isNumber)) {
    throw new CorruptError(`Cannot use ${path}: part is not what it has to be; remove the file to begin anew`);
  }
  return { ...parsed, part: { id, count, came } };
}
