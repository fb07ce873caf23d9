/** A change to a file or folder below the watched folder, or a report of the program between the changes. */
export interface FileOperation {
  readonly kind: "write" | "sync" | "truncate" | "rename" | "mkdir" | "remove" | "other" | "report";
  /** The changed file; for a rename its old name; for a report its text. */
  readonly path: string;
  /** For a rename: the new name. */
  readonly to?: string;
  /** For a write: the number of bytes. */
  readonly bytes?: number;
  /** For a mkdir: the folders that it creates. */
  readonly made?: readonly string[];
  /** When it started, on a counter that is shared by all operations; `ended` is when it was done. */
  readonly began: number;
  ended: number;
}

/** Which changes are watched, and at which one the process kills itself. */
export interface WatchOptions {
  /** Only changes below this folder count. */
  readonly folder: string;
  /** The number of the change at which the process kills itself, counted from 1; 0 for none. */
  readonly killAt: number;
  /** Whether half of the bytes are written before the process kills itself at a write. */
  readonly isHalfWritten: boolean;
}

type Call = (this: unknown, ...args: unknown[]) => unknown;
type Owner = Record<string, Call>;
type Description = Pick<FileOperation, "kind" | "path" | "to" | "bytes" | "made">;

/**
 * Wraps all functions of Deno that change files in this process, records each call, and kills the process with SIGKILL
 * at a chosen one.
 */
export class WatchedFiles {
  readonly operations: FileOperation[] = [];
  readonly #options: WatchOptions;
  readonly #paths = new WeakMap<object, string>();
  #clock = 0;
  #changes = 0;

  constructor(options: WatchOptions) {
    this.#options = options;
    const deno = Deno as unknown as Owner;
    const file = Deno.FsFile.prototype as unknown as Owner;
    for (const suffix of ["", "Sync"]) {
      this.#rememberPaths(deno, `open${suffix}`);
      this.#wrap(deno, `rename${suffix}`, (_, [from, to]) => ({ kind: "rename", path: String(from), to: String(to) }));
      this.#wrap(deno, `mkdir${suffix}`, (_, [path]) => {
        return { kind: "mkdir", path: String(path), made: foldersMissing(String(path)) };
      });
      this.#wrap(deno, `remove${suffix}`, (_, [path]) => ({ kind: "remove", path: String(path) }));
      for (const name of ["writeFile", "writeTextFile", "truncate", "copyFile", "link", "symlink"]) {
        this.#wrap(deno, `${name}${suffix}`, (_, args) => {
          const isCopy = name !== "truncate" && !name.startsWith("write");
          return { kind: "other", path: String(args[isCopy ? 1 : 0]) };
        });
      }
      const describe = (kind: FileOperation["kind"]) => (self: unknown, args: readonly unknown[]) => {
        const bytes = kind === "write" ? { bytes: (args[0] as Uint8Array).length } : {};
        return { kind, path: this.#paths.get(self as object) ?? "", ...bytes };
      };
      this.#wrap(file, `write${suffix}`, describe("write"));
      this.#wrap(file, `sync${suffix}`, describe("sync"));
      this.#wrap(file, `syncData${suffix}`, describe("sync"));
      this.#wrap(file, `truncate${suffix}`, describe("truncate"));
    }
  }

  /** Records that the program has reported something as done. */
  report(path: string): void {
    this.operations.push({ kind: "report", path, began: this.#clock, ended: this.#clock++ });
  }

  #rememberPaths(owner: Owner, name: string): void {
    const original = owner[name]!;
    const remember = (file: object, path: unknown) => {
      this.#paths.set(file, String(path));
      return file;
    };
    owner[name] = function (...args) {
      const opened = original.apply(this, args) as object;
      return opened instanceof Promise ? opened.then((file) => remember(file, args[0])) : remember(opened, args[0]);
    };
  }

  #wrap(owner: Owner, name: string, describe: (self: unknown, args: readonly unknown[]) => Description): void {
    const original = owner[name]!;
    const begin = (self: unknown, args: readonly unknown[]) => this.#begin(describe(self, args), self, args);
    const end = (operation: FileOperation | undefined) => {
      if (operation !== undefined) operation.ended = this.#clock++;
    };
    owner[name] = function (...args) {
      const operation = begin(this, args);
      const result = original.apply(this, args);
      if (result instanceof Promise) return result.then((value) => (end(operation), value));
      end(operation);
      return result;
    };
  }

  #begin(description: Description, self: unknown, args: readonly unknown[]): FileOperation | undefined {
    const { folder, killAt, isHalfWritten } = this.#options;
    if (!`${description.to ?? description.path}/`.startsWith(`${folder}/`)) return undefined;
    if (++this.#changes === killAt) {
      if (isHalfWritten && description.kind === "write") {
        const bytes = args[0] as Uint8Array;
        // The wrapped write is called again for the half; it must not count as the fatal change once more.
        this.#changes = Infinity;
        (self as Deno.FsFile).writeSync(bytes.subarray(0, Math.ceil(bytes.length / 2)));
      }
      Deno.kill(Deno.pid, "SIGKILL");
      while (true);
    }
    // `ended` stays NaN for a call that fails or never ends.
    const operation = { ...description, began: this.#clock++, ended: NaN };
    this.operations.push(operation);
    return operation;
  }
}

function foldersMissing(path: string): string[] {
  const missing: string[] = [];
  for (let at = path; at !== ""; at = at.slice(0, Math.max(0, at.lastIndexOf("/")))) {
    try {
      Deno.lstatSync(at);
      break;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      missing.push(at);
    }
  }
  return missing;
}

/**
 * Finds changes that a power loss could undo although the program reported them as done, or that could survive although
 * the changes they depend on are lost: a rename of unsynced bytes, or a rename or a new folder whose parent folder is
 * not synced before the next report or the next rename to a visible path.
 *
 * @param isVisible whether the existence of a path implies that everything before it is done
 * @returns the problems in words
 */
export function findUndurable(
  operations: readonly FileOperation[],
  isVisible: (path: string) => boolean,
): string[] {
  const done = operations.filter(({ ended }) => !Number.isNaN(ended));
  const syncs = done.filter(({ kind }) => kind === "sync");
  const fences = done.filter(({ kind, to }) => kind === "report" || (to !== undefined && isVisible(to)));
  const problems: string[] = [];
  const checkSynced = (folder: string, { ended }: FileOperation, what: string) => {
    const fence = fences.find(({ began }) => began > ended);
    const limit = fence?.began ?? Infinity;
    if (!syncs.some((sync) => sync.path === folder && sync.began > ended && sync.ended < limit)) {
      problems.push(`${what} is not made durable before ${fence?.to ?? fence?.path ?? "the end"}`);
    }
  };
  for (const operation of done) {
    const { kind, path, to, made = [], began } = operation;
    if (kind === "other") problems.push(`${path} is written by a function whose order is unknown`);
    for (const folder of made) checkSynced(parentOf(folder), operation, `the new folder ${folder}`);
    if (kind !== "rename" || to === undefined) continue;
    const write = done.findLast((each) => each.kind === "write" && each.path === path && each.began < began);
    const isSynced = syncs.some((sync) => {
      return sync.path === path && sync.began > (write?.ended ?? -1) && sync.ended < began;
    });
    if (!isSynced) problems.push(`the bytes of ${to} are not synced before the rename`);
    checkSynced(parentOf(to), operation, `the name ${to}`);
  }
  return problems;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
