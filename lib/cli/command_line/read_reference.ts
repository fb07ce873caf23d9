import { parseReference, type Reference } from "../../oci/reference.ts";
import { cannot, type RegistryError, UsageError } from "../../oci/error.ts";

/** Parses an image of the command line. @throws {UsageError} when it is not valid */
export function readReference(text: string): Reference {
  const [, transport] = /^([a-z-]+:\/\/)/.exec(text) ?? [];
  if (transport !== undefined) {
    throw new UsageError(cannot(`use the image ${JSON.stringify(text)}`, `write it without ${transport}`));
  }
  try {
    return parseReference(text);
  } catch (error) {
    throw new UsageError(error as RegistryError, { cause: error });
  }
}

/** Parses a repository of the command line. @throws {UsageError} when it is not valid, or has a tag or a digest */
export function readRepository(text: string): Reference {
  const reference = readReference(text);
  if (reference.tag === undefined && reference.digest === undefined) return reference;
  throw new UsageError(cannot(`use ${JSON.stringify(text)}`, "name a repository, without a tag or a digest"));
}
