import { TransportError } from "./transport_error.ts";

/**
 * Waits for a response; one that is received after the time-out is discarded.
 *
 * @throws {TransportError} when the time-out has passed
 */
export async function withinTime(answer: Promise<Response>, milliseconds: number): Promise<Response> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    timeout.reject(new TransportError("timeout", `it did not answer within ${milliseconds / 1000} s`));
    answer.then((response) => response.body?.cancel()).catch(() => {});
  }, milliseconds);
  try {
    return await Promise.race([answer, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
