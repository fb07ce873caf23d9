import { SharedResults, streamCopies, type WithBytes } from "../bytes/shared_bytes.ts";
import { formatJsonBody, jsonHeaders } from "./answer.ts";

/** Shares the work of large answers that clients may request without a token; see `SharedResults`. */
export class CoalescedResponses {
  readonly #results = new SharedResults<WithBytes>();

  /**
   * Creates a response with a JSON document.
   *
   * @param key identifies the answer; equal requests share one
   * @param find computes the answer; a computation that started before this call is not used
   * @throws as `find` does
   */
  async answer(key: string, find: () => Promise<unknown>, headers: Record<string, string> = {}): Promise<Response> {
    const { body } = await this.#results.get(key, async () => ({ body: formatJsonBody(await find()) }));
    return new Response(streamCopies(body) as BodyInit, { headers: { ...jsonHeaders(body.length), ...headers } });
  }
}
