import { type Failure, RegistryError } from "../oci/error.ts";

/** Thrown when object storage refuses a request, or cannot be reached. Clients get 503. */
export class S3Error extends RegistryError {
  /** The status of the response; `undefined` when there was none. */
  readonly answered: number | undefined;
  /** The code of the error document, such as `AccessDenied`. */
  readonly errorCode: string | undefined;

  constructor(failure: Failure | string, { answered, errorCode, cause }: {
    readonly answered?: number | undefined;
    readonly errorCode?: string | undefined;
    readonly cause?: unknown;
  } = {}) {
    super("UNAVAILABLE", failure, { cause });
    this.answered = answered;
    this.errorCode = errorCode;
  }
}
