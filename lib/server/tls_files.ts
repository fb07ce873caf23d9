/** A certificate and its key, as PEM. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
}

/** Where they are. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

/** @throws {Error} naming the file and what is wrong with it */
export async function readTlsFiles(files: TlsFiles): Promise<TlsIdentity> {
  const [cert, key] = await Promise.all([
    readPem(files.cert, "CERTIFICATE", "--tls-cert"),
    readPem(files.key, "PRIVATE KEY", "--tls-key"),
  ]);
  return { cert, key };
}

/** Watches a certificate and its key, which tools renew at any time. */
export class TlsFilesWatch implements Disposable {
  readonly #files: TlsFiles;
  readonly #onChange: (identity: TlsIdentity) => void;
  readonly #onProblem: (error: Error) => void;
  readonly #timer: ReturnType<typeof setInterval>;
  #current: TlsIdentity;
  #problem = "";

  /**
   * @param options.interval how often they are looked at, in milliseconds: they are small, and a folder that is mounted from
   *   elsewhere tells of no changes
   */
  constructor(files: TlsFiles, current: TlsIdentity, options: {
    readonly interval: number;
    readonly onChange: (identity: TlsIdentity) => void;
    /** Told once of what is wrong with the new ones; those that are in use stay. */
    readonly onProblem: (error: Error) => void;
  }) {
    this.#files = files;
    this.#current = current;
    this.#onChange = options.onChange;
    this.#onProblem = options.onProblem;
    this.#timer = setInterval(() => this.check(), options.interval);
    Deno.unrefTimer(Number(this.#timer));
  }

  /** Looks whether they have changed. */
  async check(): Promise<void> {
    try {
      const identity = await readTlsFiles(this.#files);
      if (identity.cert === this.#current.cert && identity.key === this.#current.key) return;
      this.#onChange(identity);
      this.#current = identity;
      this.#problem = "";
    } catch (error) {
      // The two are written one after the other: between that they do not fit each other.
      if ((error as Error).message === this.#problem) return;
      this.#problem = (error as Error).message;
      this.#onProblem(error as Error);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

async function readPem(path: string, what: string, flag: string): Promise<string> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound ? "there is no such file" : (cause as Error).message;
    throw new Error(`Cannot use ${flag} ${path}: ${reason}`, { cause });
  }
  if (!new RegExp(`^-----BEGIN (?:[A-Z]+ )?${what}-----`, "m").test(text)) {
    throw new Error(`Cannot use ${flag} ${path}: it holds no ${what.toLowerCase()} in PEM`);
  }
  return text;
}
