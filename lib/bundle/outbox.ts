import { streamFile } from "../bytes/file_stream.ts";
import { commitFile, removeIfPresent } from "../files/durable.ts";
import { ifPresent, isAbsent, listFolder } from "../files/if_present.ts";
import { inheritOwner } from "../files/inherit_owner.ts";
import { isInUse, removeIfUnused } from "../files/remove_if_unused.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { cannot, CorruptError, CrpeError } from "../oci/error.ts";
import { describeSystemError } from "../oci/system_error.ts";
import { inspectBundle } from "./inspect_bundle.ts";
import type { PackResult } from "./pack_bundle.ts";
import type { BundleOutput } from "./write_bundle.ts";
import { partialPathOf, writeBundleFile, type WriteBundleOptions } from "./write_bundle_file.ts";

/** A package of a bundle in the outbox. */
export interface OutboxPackage {
  readonly name: string;
  readonly namespace: string;
  readonly version: string;
  readonly platforms: readonly string[];
  readonly images: readonly string[];
  readonly objects: number;
}

/** A bundle in the outbox. */
export interface OutboxBundle {
  /** The digest of the file. */
  readonly digest: Digest;
  /** The size of the file, in bytes. */
  readonly size: number;
  /** When it was packed, in milliseconds since 1970. */
  readonly time: number;
  /** Empty if the file cannot be read. */
  readonly packages: readonly OutboxPackage[];
  /** Why the file cannot be read. */
  readonly error?: string;
}

/** What an interrupted pack left in the outbox. The same pack resumes it. */
interface PartialBundle {
  /** The name of the file. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** When it was last written to. */
  readonly written: Date;
  /** Whether a pack is writing it. */
  readonly isInUse: boolean;
}

type Description = Pick<OutboxBundle, "packages" | "error">;

const FILE = /^(sha256)-([0-9a-f]{64})\.tgz$/;
// Names of pack alone: a person may keep a bundle beside them. Without `.partial` it is complete, and lacks only its own name.
const PARTIAL = /^\..*\.tgz(?:\.partial)?$/;
/** Age in milliseconds after which a partial file counts as given up, as those of downloads. */
const GIVEN_UP_MILLISECONDS = 14 * 24 * 60 * 60 * 1000;
const MIN_DIGITS = 6;
const SHORT_DIGITS = 12;

/**
 * The bundles that were packed and are to be sent, in the folder `outbox` of the data folder. Each is a file that is named
 * by its digest. What a file holds is read from the file itself, once: its content never changes.
 */
export class Outbox {
  readonly #folder: string;
  readonly #described = new Map<Digest, Description>();

  /** @param data the data folder */
  constructor(data: string) {
    this.#folder = `${data}/outbox`;
  }

  /** Lists the bundles, the latest first. */
  async list(): Promise<OutboxBundle[]> {
    const bundles: OutboxBundle[] = [];
    for (const digest of await this.#listDigests()) {
      const file = await ifPresent(Deno.stat(this.pathOf(digest)));
      // It was removed meanwhile.
      const described = file && await this.#describe(digest).catch(describeUnreadable);
      if (file === undefined || described === undefined) continue;
      bundles.push({ digest, size: file.size, time: file.mtime?.getTime() ?? 0, ...described });
    }
    return bundles.sort((a, b) => b.time - a.time || (a.digest < b.digest ? -1 : 1));
  }

  /**
   * Finds a bundle by its digest, by at least six digits at the start of it, or by `NAME@VERSION` of a package: then the
   * latest one.
   *
   * @throws {Error} when there is none, or the digits are those of several
   */
  async find(selector: string): Promise<OutboxBundle> {
    const bundles = await this.list();
    const named = bundles.find(({ packages }) =>
      packages.some(({ name, namespace, version }) =>
        [`${name}@${version}`, `${namespace}/${name}@${version}`].includes(selector)
      )
    );
    if (named !== undefined) return named;
    const digits = selector.replace(/^sha256:/, "");
    const found = digits.length < MIN_DIGITS
      ? []
      : bundles.filter(({ digest }) => digest.startsWith(`sha256:${digits}`));
    if (found.length === 1) return found[0]!;
    const reason = found.length === 0 ? "there is no such bundle" : `${found.length} bundles begin with it`;
    throw new CrpeError(cannot(`find ${selector} in the outbox`, reason, "crpe outbox lists them"));
  }

  /** The path of a bundle's file. */
  pathOf(digest: Digest): string {
    return `${this.#folder}/${digest.replace(":", "-")}.tgz`;
  }

  /** The name that a copy of a bundle's file gets: `line4@1.0.0.tgz`, as `crpe pack` names it. */
  async nameOf(digest: Digest): Promise<string> {
    const [first, ...others] = (await this.#describe(digest).catch(describeUnreadable))?.packages ?? [];
    const isOne = first !== undefined && others.length === 0;
    return isOne ? `${first.name}@${first.version}.tgz` : `${digest.slice(-SHORT_DIGITS)}.tgz`;
  }

  /** Opens a bundle's file; `undefined` if there is none. The stream of a part closes the file. */
  async open(digest: Digest): Promise<OutboxFile | undefined> {
    const file = await ifPresent(Deno.open(this.pathOf(digest)));
    if (file === undefined) return undefined;
    const { size } = await file.stat();
    return {
      size,
      stream: async (start, length) => {
        await file.seek(start, Deno.SeekMode.Start);
        return streamFile(file, length);
      },
      close: () => file.close(),
    };
  }

  /**
   * Packs a bundle into the outbox. An interrupted pack of the same release is resumed. What root packs is given to the owner
   * of the folder, whose server sends it. Partial files of other packs are removed two weeks after they were last written to.
   *
   * @param fileName the name of the file while it is being written
   * @param write writes the content, and returns its digest too
   */
  async add<T extends Pick<PackResult, "tgzDigest">>(
    fileName: string,
    write: (output: BundleOutput) => Promise<T>,
    options: WriteBundleOptions = {},
  ): Promise<T & { readonly file: string }> {
    const temporary = `${this.#folder}/.${fileName}`;
    await this.removePartials({ minAge: GIVEN_UP_MILLISECONDS });
    const result = await writeBundleFile(temporary, async (output) => {
      inheritOwner(partialPathOf(temporary));
      return await write(output);
    }, options);
    if (result.tgzDigest === undefined) throw new CrpeError(cannot(`keep ${fileName}`, "its digest is not known"));
    const file = this.pathOf(result.tgzDigest);
    await commitFile(temporary, file);
    return { ...result, file };
  }

  /** Removes a bundle. @returns whether it was there */
  async remove(digest: Digest): Promise<boolean> {
    const isThere = await ifPresent(Deno.stat(this.pathOf(digest))) !== undefined;
    await removeIfPresent(this.pathOf(digest));
    this.#described.delete(digest);
    return isThere;
  }

  /** Lists what interrupted packs left, the oldest first. */
  async listPartials(): Promise<PartialBundle[]> {
    const found: PartialBundle[] = [];
    for (const { name, isFile } of await listFolder(this.#folder) ?? []) {
      if (!isFile || !PARTIAL.test(name)) continue;
      const path = `${this.#folder}/${name}`;
      const stat = await ifPresent(Deno.lstat(path));
      if (stat === undefined) continue;
      found.push({ name, size: stat.size, written: stat.mtime ?? new Date(0), isInUse: await isInUse(path) });
    }
    return found.sort((a, b) => a.written.getTime() - b.written.getTime());
  }

  /**
   * Removes what interrupted packs left, and no pack is writing.
   *
   * @param minAge time since the last write, in milliseconds
   * @returns what was removed, or with `dryRun` would be
   */
  async removePartials({ minAge = 0, dryRun = false } = {}): Promise<PartialBundle[]> {
    const latest = Date.now() - minAge;
    const removed: PartialBundle[] = [];
    for (const partial of await this.listPartials()) {
      if (partial.isInUse || partial.written.getTime() > latest) continue;
      if (dryRun || await removeIfUnused(`${this.#folder}/${partial.name}`)) removed.push(partial);
    }
    return removed;
  }

  async #listDigests(): Promise<Digest[]> {
    return (await listFolder(this.#folder) ?? []).flatMap(({ name }) => {
      const [, algorithm, hex] = FILE.exec(name) ?? [];
      const digest = `${algorithm}:${hex}`;
      return isDigest(digest) ? [digest] : [];
    });
  }

  async #describe(digest: Digest): Promise<Description> {
    const known = this.#described.get(digest);
    if (known !== undefined) return known;
    const described = await this.#inspect(digest);
    this.#described.set(digest, described);
    return described;
  }

  async #inspect(digest: Digest): Promise<Description> {
    try {
      const infos = await inspectBundle((await Deno.open(this.pathOf(digest))).readable, "the bundle");
      return {
        packages: infos.map(({ name, namespace, version, platforms, images, manifests }) => ({
          ...{ name, namespace, version, platforms },
          images: images.map(({ reference }) => reference),
          objects: manifests.length,
        })),
      };
    } catch (error) {
      if (error instanceof CorruptError) return { packages: [], error: error.message };
      throw error;
    }
  }
}

// A file that cannot be read hides no other one, and may be readable later. One that is missing was removed meanwhile.
function describeUnreadable(error: unknown): Description | undefined {
  if (isAbsent(error)) return undefined;
  return { packages: [], error: new CrpeError(cannot("read the bundle", describeSystemError(error))).message };
}

/** An open file of a bundle. */
interface OutboxFile {
  /** In bytes. */
  readonly size: number;
  /** Streams a part of the file, and closes the file at its end. */
  readonly stream: (start: number, length: number) => Promise<ReadableStream<Uint8Array>>;
  /** Closes a file of which no part was streamed. */
  readonly close: () => void;
}
