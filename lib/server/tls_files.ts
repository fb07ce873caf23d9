import { decodeText } from "../oci/to_utf8.ts";
import { cannot, CrpeError } from "../oci/error.ts";
import { describeSystemError } from "../oci/system_error.ts";

/** A certificate and its key, in PEM. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
}

/** The paths of a certificate and its key. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

/**
 * Reads a certificate and its key.
 *
 * @throws {Error} with the name of the file and the reason, when a file cannot be read or is not in PEM
 */
export async function readTlsFiles(files: TlsFiles): Promise<TlsIdentity> {
  const [cert, key] = await Promise.all([
    readPem(files.cert, "CERTIFICATE", "--tls-cert"),
    readPem(files.key, "PRIVATE KEY", "--tls-key"),
  ]);
  return { cert, key };
}

/** Watches a certificate and its key for changes, because tools renew them at any time. */
export class TlsFilesWatch implements Disposable {
  readonly #files: TlsFiles;
  readonly #onChange: (identity: TlsIdentity) => void;
  readonly #onProblem: (error: Error) => void;
  readonly #timer: ReturnType<typeof setInterval>;
  #current: TlsIdentity;
  #problem = "";

  /**
   * @param options.interval the polling interval in milliseconds. The files are polled because they are small, and a
   *   mounted folder may not report changes.
   */
  constructor(files: TlsFiles, current: TlsIdentity, options: {
    readonly interval: number;
    readonly onChange: (identity: TlsIdentity) => void;
    /** Called once for each new reason why the changed files cannot be used. The previous ones stay in use. */
    readonly onProblem: (error: Error) => void;
  }) {
    this.#files = files;
    this.#current = current;
    this.#onChange = options.onChange;
    this.#onProblem = options.onProblem;
    this.#timer = setInterval(() => this.check(), options.interval);
    Deno.unrefTimer(Number(this.#timer));
  }

  /** Checks whether the files have changed. */
  async check(): Promise<void> {
    try {
      const identity = await readTlsFiles(this.#files);
      if (identity.cert === this.#current.cert && identity.key === this.#current.key) return;
      this.#onChange(identity);
      this.#current = identity;
      this.#problem = "";
    } catch (error) {
      // The two files are written one after the other, and do not match in between.
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
    text = decodeText(await Deno.readFile(path), path);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound ? "there is no such file" : describeSystemError(cause);
    throw new CrpeError(cannot(`use ${flag} ${path}`, reason), { cause });
  }
  if (!new RegExp(`^-----BEGIN (?:[A-Z]+ )?${what}-----`, "m").test(text)) {
    throw new CrpeError(cannot(`use ${flag} ${path}`, `it holds no ${what.toLowerCase()} in PEM`));
  }
  return text;
}
