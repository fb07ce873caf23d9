import { withinTime } from "../../bytes/within_time.ts";
import { TransportError } from "./transport_error.ts";

/**
 * Waits for a response; one that is received after the time-out is discarded.
 *
 * @throws {TransportError} when the time-out has passed
 */
export async function awaitResponse(answer: Promise<Response>, milliseconds: number): Promise<Response> {
  const response = await withinTime(answer, milliseconds);
  if (response !== undefined) return response;
  answer.then((late) => late.body?.cancel()).catch(() => {});
  throw new TransportError("timeout", `it did not answer within ${milliseconds / 1000} s`);
}
