import { createFolder, removeIfPresent } from "./durable.ts";
import { isFileAt, waitForLock } from "./file_lock.ts";
import { ifPresent } from "./if_present.ts";
import { openOwned } from "./inherit_owner.ts";
import { writeAll } from "./write_all.ts";
import { cannot, CrpeError, RefusedError } from "../oci/error.ts";
import { describeSystemError } from "../oci/system_error.ts";

/** Who has done something. */
export interface AuditActor {
  /** The name of the token, for a request. */
  readonly token?: string;
  /** The address of the client. */
  readonly address?: string;
  /** The user of the operating system, for a command. */
  readonly user?: string;
  /** Another server of the cluster, which has done it there first. */
  readonly server?: string;
}

/** An action as the log names it, with its details. */
export interface AuditEntry {
  readonly action: string;
  readonly by: AuditActor;
  readonly [detail: string]: unknown;
}

/** How an action ended. */
interface AuditEnd {
  readonly result: string;
  readonly error?: unknown;
  readonly [detail: string]: unknown;
}

/** Options of an `AuditLog`. */
export interface AuditLogOptions {
  /** The size in bytes at which a file is full. */
  readonly maxBytes?: number;
  /** The time in milliseconds since 1970. */
  readonly now?: () => number;
  /** Called when the end of an action cannot be written: the action is done, and its begin is in the log. */
  readonly onProblem?: (error: Error) => void;
}

const MAX_BYTES = 8 * 1024 * 1024;
/** The number of full files that are kept. */
const MAX_FILES = 8;
const MAX_ERROR = 500;
const MAX_TRIES = 100;
const NEWLINE = 10;

/**
 * The log of everything that changes what a site runs, or whom it trusts: `audit.ndjson` in the data folder, a JSON object a
 * line. Lines are only appended. A full file becomes `audit.1.ndjson`, that one `audit.2.ndjson`, and the oldest goes.
 *
 * An action has a line for its begin, which is on the disk before it changes anything, and one for its end, both with the
 * same `id`. So an action is never done without a trace, and a full disk stops it before it has begun.
 */
export class AuditLog {
  readonly #data: string;
  readonly #options: AuditLogOptions;
  readonly #begun = new Set<string>();

  /** @param data the data folder */
  constructor(data: string, options: AuditLogOptions = {}) {
    this.#data = data;
    this.#options = options;
  }

  /** Writes the begin of an action. @throws {Error} when it cannot be written; then the action must not be done */
  async begin(id: string, entry: AuditEntry): Promise<void> {
    await this.#append({ id, phase: "begin", ...entry }).catch((cause) => {
      throw new CrpeError(cannot(`write ${this.#pathOf(0)}`, describeSystemError(cause), "nothing was changed"), {
        cause,
      });
    });
    this.#begun.add(id);
  }

  /**
   * Writes the end of an action. It never throws: a failure is reported to `onProblem`. A command that ended before it began
   * is no reason to make a log, nor the data folder: its user is told why anyway.
   */
  async end(id: string, entry: AuditEntry, { error, ...end }: AuditEnd): Promise<void> {
    const hasBegun = this.#begun.delete(id);
    if (!hasBegun && error !== undefined && entry.by.user !== undefined && !isFile(this.#pathOf(0))) return;
    const reason = error === undefined ? undefined : describe(error);
    await this.#append({ id, phase: "end", ...entry, ...end, error: reason }).catch((cause) => {
      const what = `the end of an action (${entry.action}: ${end.result}) is not in the audit log`;
      this.#options.onProblem?.(new Error(`${what}: ${describeSystemError(cause)}`, { cause }));
    });
  }

  /**
   * Does something between the lines of its begin and its end.
   *
   * @param options.isFreeing whether it frees space or takes a right away, so that a full disk must not prevent it
   * @param options.describe describes a result; by default it is `done`
   */
  async run<T>(
    entry: AuditEntry,
    work: () => Promise<T>,
    { isFreeing = false, describe = () => ({ result: "done" }) }: {
      readonly isFreeing?: boolean;
      readonly describe?: (result: T) => AuditEnd;
    } = {},
  ): Promise<T> {
    const id = crypto.randomUUID();
    await this.begin(id, entry).catch((error) => {
      if (!isFreeing) throw error;
      this.#options.onProblem?.(error);
    });
    try {
      const result = await work();
      await this.end(id, entry, describe(result));
      return result;
    } catch (error) {
      await this.end(id, entry, { result: error instanceof RefusedError ? "refused" : "failed", error });
      throw error;
    }
  }

  async #append(fields: Record<string, unknown>): Promise<void> {
    const { now = Date.now, maxBytes = MAX_BYTES } = this.#options;
    const line = new TextEncoder().encode(`${JSON.stringify({ time: new Date(now()).toISOString(), ...fields })}\n`);
    await createFolder(this.#data);
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      using file = await openOwned(this.#pathOf(0), { read: true, append: true, create: true, mode: 0o600 });
      // Another process may have renamed the file while this one waited for it.
      await waitForLock(file, this.#pathOf(0));
      if (!isFileAt(this.#pathOf(0), file)) continue;
      const { size } = await file.stat();
      if (size === 0 || size + line.length <= maxBytes) return await write(file, size, line);
      await this.#rotate();
    }
    throw new Error("it is not a regular file");
  }

  /** Renames the files. The caller holds the lock of the newest one. */
  async #rotate(): Promise<void> {
    await removeIfPresent(this.#pathOf(MAX_FILES));
    for (let number = MAX_FILES - 1; number >= 0; number--) {
      await ifPresent(Deno.rename(this.#pathOf(number), this.#pathOf(number + 1)));
    }
  }

  #pathOf(number: number): string {
    return `${this.#data}/audit${number === 0 ? "" : `.${number}`}.ndjson`;
  }
}

// A line that was not written whole is taken back. One that a process has left when it died ends here.
async function write(file: Deno.FsFile, size: number, line: Uint8Array): Promise<void> {
  try {
    if (size > 0 && await lastByte(file, size) !== NEWLINE) await file.write(Uint8Array.of(NEWLINE));
    await writeAll(file, line);
    await file.syncData();
  } catch (error) {
    await file.truncate(size).catch(() => {});
    throw error;
  }
}

async function lastByte(file: Deno.FsFile, size: number): Promise<number | undefined> {
  const byte = new Uint8Array(1);
  await file.seek(size - 1, Deno.SeekMode.Start);
  await file.read(byte);
  return byte[0];
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function describe(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s+/g, " ").slice(0, MAX_ERROR);
}
