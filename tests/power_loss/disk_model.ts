/** Something that a program did to a file. Its effect is seen at once, and survives a power loss after a sync. */
export type FileChange =
  | { readonly kind: "write"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "resize"; readonly size: number };

/** A name that was given to an inode, or taken away (`inode` is missing). */
export interface NameChange {
  readonly name: string;
  readonly inode?: Inode;
}

/** A change that is not synced yet. `at` is the time at which it was complete. */
export type Pending<Change> = Change & { readonly at: number };

/** A file: what is on the disk, what programs see, and the changes between the two. */
export class FileInode {
  durable = new Uint8Array();
  current = new Uint8Array();
  pending: Pending<FileChange>[] = [];

  change(change: FileChange, at: number): void {
    this.current = applyToFile(this.current, change);
    this.pending.push({ ...change, at });
  }

  /** Makes everything durable that was complete before the sync began. */
  sync(began: number): void {
    for (const change of this.pending.filter(({ at }) => at < began)) this.durable = applyToFile(this.durable, change);
    this.pending = this.pending.filter(({ at }) => at >= began);
  }
}

/** A folder, as `FileInode`. */
export class FolderInode {
  durable = new Map<string, Inode>();
  current = new Map<string, Inode>();
  pending: Pending<NameChange>[] = [];

  change(change: NameChange, at: number): void {
    applyToFolder(this.current, change);
    this.pending.push({ ...change, at });
  }

  /** Makes every name durable that was complete before the sync began. */
  sync(began: number): void {
    for (const change of this.pending.filter(({ at }) => at < began)) applyToFolder(this.durable, change);
    this.pending = this.pending.filter(({ at }) => at >= began);
  }
}

/** A file or a folder. */
export type Inode = FileInode | FolderInode;

/** Which unsynced changes survive a power loss. */
export interface Survival {
  readonly name: (change: NameChange) => boolean;
  readonly write: (change: FileChange) => boolean;
  /** Whether a file keeps the size of its lost writes, filled with zeros, as after a delayed allocation. */
  readonly keepsSize: boolean;
}

/** Applies a change to the bytes of a file. */
export function applyToFile(bytes: Uint8Array<ArrayBuffer>, change: FileChange): Uint8Array<ArrayBuffer> {
  const end = change.kind === "write" ? Math.max(bytes.length, change.offset + change.bytes.length) : change.size;
  const copy = new Uint8Array(end);
  copy.set(bytes.subarray(0, end));
  if (change.kind === "write") copy.set(change.bytes, change.offset);
  return copy;
}

function applyToFolder(entries: Map<string, Inode>, { name, inode }: NameChange): void {
  if (inode === undefined) entries.delete(name);
  else entries.set(name, inode);
}

/** Lists the files and folders (`undefined`) below a folder after a power loss, by their paths. */
export function listAfterLoss(root: FolderInode, survival: Survival): Map<string, Uint8Array<ArrayBuffer> | undefined> {
  const found = new Map<string, Uint8Array<ArrayBuffer> | undefined>();
  const walk = (folder: FolderInode, prefix: string) => {
    const entries = new Map(folder.durable);
    for (const change of folder.pending) {
      if (survival.name(change)) applyToFolder(entries, change);
    }
    for (const [name, inode] of entries) {
      found.set(prefix + name, inode instanceof FileInode ? bytesAfterLoss(inode, survival) : undefined);
      if (inode instanceof FolderInode) walk(inode, `${prefix}${name}/`);
    }
  };
  walk(root, "");
  return found;
}

function bytesAfterLoss(file: FileInode, { write, keepsSize }: Survival): Uint8Array<ArrayBuffer> {
  let bytes = file.durable;
  for (const change of file.pending) {
    if (write(change)) bytes = applyToFile(bytes, change);
  }
  return keepsSize ? applyToFile(bytes, { kind: "resize", size: file.current.length }) : bytes;
}
