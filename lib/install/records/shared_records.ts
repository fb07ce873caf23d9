import { removeIfPresent } from "../../files/durable.ts";
import { holdLock, tryHoldLock } from "../../files/locked_file.ts";
import { ifPresent, listFolder } from "../../files/if_present.ts";
import { parentOf } from "../../files/parent_of.ts";
import { computeDigest, type Digest } from "../../oci/digest.ts";
import { cannot, RegistryError } from "../../oci/error.ts";
import { INGEST } from "../../store/layout.ts";
import { writePrivateFile } from "../../store/private_file.ts";
import { restrictFolder } from "./restrict_folder.ts";

/** A record in a vault. */
interface VaultEntry {
  readonly digest: Digest;
  /** The name of its content in the vault, which no other content ever gets. */
  readonly object: string;
}

/** The records in a vault, by their path below the folder of all records. */
type VaultIndex = ReadonlyMap<string, VaultEntry>;

/** A record in the copy. */
interface LocalRecord {
  readonly digest: Digest;
}

/** Where machines keep the records that they share. */
interface RecordVault {
  /** Reads the index. @returns what it lists, and a name of this state; `undefined` if there is none yet */
  readIndex(): Promise<{ readonly entries: VaultIndex; readonly etag: string } | undefined>;
  /** Replaces the index. @param etag the state that was read @returns `false` when it is in another state */
  writeIndex(entries: VaultIndex, etag: string | undefined): Promise<boolean>;
  /** Reads the content of a record; `undefined` if it was removed. */
  read(object: string): Promise<Uint8Array | undefined>;
  /** Writes the content of a record. @returns its name */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<string>;
  /** Removes the content of a record that the index does not list any more. */
  remove(object: string): Promise<void>;
  /** Waits for the lock of the vault, which one process at a time holds. */
  lock(): Promise<VaultLock>;
}

/** The lock of a vault. */
interface VaultLock extends AsyncDisposable {
  /** Whether it counts. It does not when the vault could not be reached for a time. */
  readonly isHeld: boolean;
}

// The index may be replaced, and what it lists removed, while it is read.
const ATTEMPTS = 20;
/** How long what was read counts as current for reading, in milliseconds. */
const FRESH_MILLISECONDS = 1000;

/**
 * The records of packages that several machines share, in a vault. Each machine works on a copy in a folder: a change is
 * read before it is used, and written to the vault before it counts. The index of the vault changes as a whole, and only from
 * the state that was read. Where another machine has changed the same record, nothing is written.
 */
export class SharedRecords {
  /** The folder that has the copy, as the folder `kubepkg`. */
  readonly folder: string;
  readonly #vault: RecordVault;
  /** The records as they were read or written last; `undefined` if the copy may differ from them in any way. */
  #base: Map<string, VaultEntry> | undefined;
  #etag: string | undefined;
  #readAt = -Infinity;
  #lock: VaultLock | undefined;

  constructor(folder: string, vault: RecordVault) {
    this.folder = folder;
    this.#vault = vault;
  }

  /**
   * Makes the copy current, unless an installation of this machine is in progress, which has done so when it began.
   *
   * @param waits whether that installation is waited for, because others may have changed the records since
   */
  async refresh({ waits = false } = {}): Promise<void> {
    if (!waits && performance.now() - this.#readAt < FRESH_MILLISECONDS) return;
    const index = await this.#vault.readIndex();
    // A folder is made only where there is something to keep in it.
    if (index === undefined && this.#base === undefined && await listFolder(this.folder) === undefined) return;
    if (this.#base !== undefined && index?.etag === this.#etag) return void (this.#readAt = performance.now());
    using installing = waits ? await holdLock(this.#installLock) : await tryHoldLock(this.#installLock);
    if (installing === undefined) return;
    using _writing = await holdLock(this.#writeLock);
    await this.#pull();
  }

  /**
   * Waits for the lock of the installation: on this machine, and in the vault. The copy is current then. What was changed is in
   * the vault when the lock was given up.
   */
  async lock(): Promise<AsyncDisposable> {
    const local = await holdLock(this.#installLock);
    try {
      const lock = await this.#vault.lock();
      try {
        using _writing = await holdLock(this.#writeLock);
        await this.#pull();
      } catch (error) {
        await lock[Symbol.asyncDispose]();
        throw error;
      }
      this.#lock = lock;
    } catch (error) {
      local[Symbol.dispose]();
      throw error;
    }
    return {
      [Symbol.asyncDispose]: async () => {
        try {
          await this.#publishAll();
        } finally {
          const lock = this.#lock;
          this.#lock = undefined;
          await lock?.[Symbol.asyncDispose]();
          local[Symbol.dispose]();
        }
      },
    };
  }

  /**
   * Changes a record: in the copy, and then in the vault.
   *
   * @param path the file of the copy
   * @throws {RegistryError} `UNAVAILABLE` when another machine has changed the same record; the change is lost
   */
  async change(path: string, run: () => Promise<void>): Promise<void> {
    // What is written is else taken for outdated.
    using _writing = await holdLock(this.#writeLock);
    const name = path.slice(this.#root.length + 1);
    const before = await this.#read(name);
    await run();
    await this.#publish([name], before);
  }

  // What was removed while the lock was held, and what was renamed.
  async #publishAll(): Promise<void> {
    using _writing = await holdLock(this.#writeLock);
    // After a failure, the copy is not what is wanted.
    if (this.#base === undefined) return;
    await this.#publish([...new Set([...this.#base.keys(), ...await listFiles(this.#root)])]);
  }

  /** @param before the content of the changed record in a copy of which it is not known whether it is current */
  async #publish(names: readonly string[], before?: LocalRecord): Promise<void> {
    try {
      if (this.#lock !== undefined && (this.#base === undefined || !this.#lock.isHeld)) {
        throw changedElsewhere("the lock of the records was lost");
      }
      const base = this.#base ?? new Map(names.flatMap((name) => before === undefined ? [] : [[name, before]]));
      const changes = new Map<string, VaultEntry | undefined>();
      for (const name of names) {
        const found = await this.#read(name);
        if (this.#base !== undefined && found?.digest === base.get(name)?.digest) continue;
        changes.set(name, found && { digest: found.digest, object: await this.#vault.write(found.bytes) });
      }
      if (changes.size > 0) await this.#replace(changes, base);
    } catch (error) {
      // The copy is replaced by what the vault has.
      this.#base = undefined;
      this.#readAt = -Infinity;
      throw error;
    }
  }

  async #replace(
    changes: ReadonlyMap<string, VaultEntry | undefined>,
    base: ReadonlyMap<string, LocalRecord & Partial<VaultEntry>>,
  ): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const current = await this.#vault.readIndex();
      const next = new Map(current?.entries);
      const replaced = new Set<string | undefined>();
      for (const [name, entry] of changes) {
        const found = next.get(name);
        // A write whose response was lost is found as written.
        const isWritten = found?.object === entry?.object;
        for (const before of [found, base.get(name)]) {
          if (before?.object !== entry?.object) replaced.add(before?.object);
        }
        if (!isWritten && found?.digest !== base.get(name)?.digest) {
          throw changedElsewhere(`another machine has changed ${name} in the meantime`);
        }
        if (entry === undefined) next.delete(name);
        else next.set(name, entry);
      }
      if (!await this.#vault.writeIndex(next, current?.etag)) continue;
      for (const [name, entry] of changes) {
        if (entry === undefined) this.#base?.delete(name);
        else this.#base?.set(name, entry);
      }
      for (const object of replaced) if (object !== undefined) await this.#vault.remove(object);
      // Others may have changed other records: the next refresh finds out.
      this.#etag = undefined;
      this.#readAt = -Infinity;
      return;
    }
    throw changedElsewhere("other machines change the records all the time");
  }

  /** Replaces what differs in the copy. */
  async #pull(): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const index = await this.#vault.readIndex();
      const entries = index?.entries ?? new Map<string, VaultEntry>();
      if (!await this.#copy(entries)) continue;
      this.#base = new Map(entries);
      this.#etag = index?.etag;
      this.#readAt = performance.now();
      return;
    }
    throw changedElsewhere("other machines change the records all the time");
  }

  // Returns false when a record that is listed was removed meanwhile.
  async #copy(entries: VaultIndex): Promise<boolean> {
    const held = new Set(await listFiles(this.#root));
    for (const [name, { digest, object }] of entries) {
      held.delete(name);
      const path = `${this.#root}/${name}`;
      if ((await this.#read(name))?.digest === digest) continue;
      const bytes = await this.#vault.read(object);
      if (bytes === undefined) return false;
      await writePrivateFile(this.folder, path, bytes);
    }
    for (const name of held) await this.#removeFile(`${this.#root}/${name}`);
    if (entries.size > 0) await restrictFolder(this.#root);
    return true;
  }

  async #read(name: string): Promise<LocalRecord & { bytes: Uint8Array<ArrayBuffer> } | undefined> {
    const bytes = await ifPresent(Deno.readFile(`${this.#root}/${name}`));
    return bytes && { bytes, digest: computeDigest(bytes) };
  }

  async #removeFile(path: string): Promise<void> {
    await removeIfPresent(path);
    // Its folder stays if it has other files.
    for (let at = parentOf(path); at.length > this.#root.length; at = parentOf(at)) {
      if (!await removeIfPresent(at).then(() => true, () => false)) break;
    }
  }

  get #root(): string {
    return `${this.folder}/kubepkg`;
  }

  get #installLock(): string {
    return `${this.folder}/${INGEST}/install.lock`;
  }

  get #writeLock(): string {
    return `${this.folder}/${INGEST}/records.lock`;
  }
}

function changedElsewhere(reason: string): RegistryError {
  return new RegistryError("UNAVAILABLE", cannot("change the records of packages", reason, "run it again"));
}

async function listFiles(root: string, below = ""): Promise<string[]> {
  const names: string[] = [];
  for (const { name, isFile, isDirectory } of await listFolder(`${root}/${below}`) ?? []) {
    if (isFile) names.push(`${below}${name}`);
    else if (isDirectory) names.push(...await listFiles(root, `${below}${name}/`));
  }
  return names;
}
