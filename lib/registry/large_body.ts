import { memoryBudget, SMALL_BODY_BYTES } from "../bytes/memory_budget.ts";
import { streamCopies } from "../bytes/shared_bytes.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import type { Answer } from "./answer.ts";

/**
 * Makes a stream of a large body that is in memory, because the runtime would copy it for each response. The bytes are
 * accounted for until they are read.
 *
 * @throws {RegistryError} `UNAVAILABLE` when there is no memory for them
 */
export async function streamLargeBody(answer: Answer): Promise<Answer> {
  const { body } = answer;
  if (!(body instanceof Uint8Array) || body.length <= SMALL_BODY_BYTES) return answer;
  const lease = await memoryBudget.wait(() => memoryBudget.takeShared(body));
  if (lease !== undefined) return { ...answer, body: streamCopies(body, () => lease[Symbol.dispose]()) };
  throw new RegistryError(
    "UNAVAILABLE",
    cannot("answer now", "the responses in progress need all memory", "try again later"),
  );
}
