import { type Failure, RegistryError } from "../../oci/error.ts";

/** A registry, or its token server, denies access. */
export class DeniedError extends RegistryError {
  /** Whether a configured login was refused. If not, the content needs a login, or does not exist. */
  readonly isLoginRefused: boolean;

  constructor(failure: Failure, { isLoginRefused }: { readonly isLoginRefused: boolean }) {
    // With 404, a client that uses crpe as a mirror treats the image as missing and tries its next host immediately.
    super("DENIED", failure, { status: 404 });
    this.isLoginRefused = isLoginRefused;
  }
}
