import { type Algorithm, ALGORITHMS } from "../../signature/keys.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** Reads `--algorithm`. @throws {UsageError} when crpe does not sign with it */
export function readAlgorithm(text: string | undefined): Algorithm {
  const found = ALGORITHMS.find((name) => name === (text ?? "ed25519"));
  if (found !== undefined) return found;
  throw new UsageError(cannot(`use --algorithm ${text}`, `it must be ${ALGORITHMS.join(" or ")}`));
}
