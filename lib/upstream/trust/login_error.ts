import { type Failure, RegistryError } from "../../oci/error.ts";

/** A token server does not answer, or fails. Every request to its registry would wait for it again. */
export class LoginError extends RegistryError {
  constructor(failure: Failure, options?: ErrorOptions) {
    super("UNAVAILABLE", failure, options);
  }
}
