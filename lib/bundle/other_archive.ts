import { CorruptError } from "../oci/error.ts";
import { ENTRY_NAME } from "./entry_names.ts";

/** A file is a well-known archive, but no bundle: exit status 1, HTTP 422. */
export class OtherArchiveError extends CorruptError {
  override readonly name = "OtherArchiveError";
}

// By the first entry. docker names a folder, a config or a layer by 64 hex digits; later releases write an image layout.
const KINDS: readonly (readonly [RegExp, string])[] = [
  [
    /^(?:manifest\.json|repositories|(?:sha256:)?[0-9a-f]{64}(?:\.json|\.tar|\.tar\.gz|\/.*)?)$/,
    "this is a docker save archive, not a bundle: crpe load",
  ],
  [
    /^(?:oci-layout|index\.json|blobs\/.*)$/,
    "this is an image archive (docker save, podman save or OCI layout), not a bundle: crpe load",
  ],
  [/^[^/]+\/Chart\.yaml$/, "this is a Helm chart, not a bundle: helm template"],
];

/**
 * Returns the error for a file whose first entry is not `kubepkg.json`. A well-known archive is named for what it is,
 * with the command that reads it.
 *
 * @param firstEntry its name; `undefined` if the file has none
 * @param what name of the file in errors
 */
export function notABundle(firstEntry: string | undefined, what: string): CorruptError {
  if (firstEntry === undefined) {
    return new CorruptError(`Cannot use ${what}: it has no files, not ${ENTRY_NAME.kubepkg}`);
  }
  const kind = KINDS.find(([pattern]) => pattern.test(firstEntry));
  if (kind !== undefined) return new OtherArchiveError(`Cannot use ${what}: ${kind[1]} ${what}`);
  const entry = JSON.stringify(firstEntry.slice(0, 200));
  return new CorruptError(`Cannot use ${what}: its first entry is ${entry}, not ${ENTRY_NAME.kubepkg}`);
}
