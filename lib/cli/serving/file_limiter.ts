import { connectionsFor, countFreeFiles, ENOUGH_FILES, filesFor } from "../../server/file_limit.ts";
import type { Server } from "../../server/server.ts";

// Files that the process has open for itself.
const OWN_FILES = 64;
const MANY_CONNECTIONS = 64;

type LimitedServer = Pick<Server, "size" | "limit">;

/** Options of `FileLimiter`. */
interface FileLimiterOptions {
  /** The largest numbers of connections of the two servers. */
  readonly max: { readonly server: number; readonly secure: number };
  /** Whether the connections of the first server have TLS. */
  readonly isTls: boolean;
  /** Opens a file. */
  readonly open: () => Disposable;
  /** Called with advice when only few files may be open. */
  readonly onFewFiles?: ((problem: string) => void) | undefined;
}

/**
 * Limits the connections of a process by the number of files that it may open.
 *
 * Opening the 5,300 files that the most connections need takes 50 ms of CPU time and 10 MiB of memory. So after the start
 * only as many are opened as show whether there are few, and the rest when there are many connections.
 */
export class FileLimiter {
  readonly #options: FileLimiterOptions;
  #servers: readonly [server: LimitedServer, secure: LimitedServer | undefined] | undefined;
  #isDone = false;

  constructor(options: FileLimiterOptions) {
    this.#options = options;
  }

  /** Called some time after the start, which it would delay. @param secure the server on the second address */
  async onStarted(server: LimitedServer, secure: LimitedServer | undefined): Promise<void> {
    this.#servers = [server, secure];
    const files = await this.#count(ENOUGH_FILES - OWN_FILES);
    if (isFew(files)) this.#limit(files);
    else await this.onConnection();
  }

  /** Called for each new connection. */
  async onConnection(): Promise<void> {
    if (this.#isDone || this.#servers === undefined || this.#size < MANY_CONNECTIONS) return;
    this.#isDone = true;
    const { max, isTls } = this.#options;
    const most = filesFor(max.server, isTls) + (this.#servers[1] === undefined ? 0 : filesFor(max.secure, true));
    this.#limit(await this.#count(most));
  }

  get #size(): number {
    return (this.#servers ?? []).reduce((sum, server) => sum + (server?.size ?? 0), 0);
  }

  async #count(enough: number): Promise<number> {
    return await countFreeFiles(enough, this.#options.open) + this.#size;
  }

  #limit(files: number): void {
    const [server, secure] = this.#servers!;
    const { max, isTls, onFewFiles } = this.#options;
    this.#isDone = true;
    // The second address gets a quarter, and no more than it can use.
    const share = secure === undefined ? 0 : Math.min(Math.floor(files / 4), filesFor(max.secure, true));
    const limit = Math.min(max.server, connectionsFor(files - share, isTls));
    server.limit(limit);
    secure?.limit(Math.min(max.secure, connectionsFor(share, true)));
    if (!isFew(files)) return;
    onFewFiles?.(
      `about ${files} files may be open, which is enough for ${limit} clients at a time; raise the limit (ulimit -n)`,
    );
  }
}

function isFew(files: number): boolean {
  return files < ENOUGH_FILES - OWN_FILES;
}
