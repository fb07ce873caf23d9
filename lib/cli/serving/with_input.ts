import { RegistryError, UsageError } from "../../oci/error.ts";

/** Runs a check of what a client has sent. @throws {RegistryError} `INVALID` in place of a `UsageError` */
export async function withInput<T>(check: () => T | Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (cause) {
    throw cause instanceof UsageError ? new RegistryError("INVALID", cause, { cause }) : cause;
  }
}
