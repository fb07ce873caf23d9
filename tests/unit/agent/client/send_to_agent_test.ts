import { createSender } from "../../../../lib/agent/client/send_to_agent.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

const REASONS = [new TypeError("Failed to fetch: request body stream errored"), "resource closed"];

for (const reason of REASONS) {
  Deno.test(`createSender(): a promise that only the runtime has does not end the process: ${reason}`, async () => {
    createSender();
    // The test fails if this is reported as an uncaught error.
    Promise.reject(reason);
    await new Promise((resolve) => setTimeout(resolve, 10));
  });
}

const ANSWERS: readonly [what: string, type: string, pieces: string[], kept: string][] = [
  ["lines, each in a piece", "application/x-ndjson", ["{1}\n", "{2}\n", "{3}\n"], "{3}\n"],
  ["lines in one piece", "application/x-ndjson", ["{1}\n{2}\n{3}\n"], "{3}\n"],
  ["a line that is cut into pieces", "application/x-ndjson", ["{1}\n{", "2", "}\n{3", "3", "}\n"], "{33}\n"],
  ["a piece that starts with the end of a line", "application/x-ndjson", ["{1}", "\n", "{2}", "\n"], "{2}\n"],
  ["another document, whole", "application/json", ["{\n1\n", "}\n"], "{\n1\n}\n"],
];

for (const [what, type, pieces, kept] of ANSWERS) {
  Deno.test(`createSender() keeps of a response the last line: ${what}`, async () => {
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
      const body = ReadableStream.from(pieces.map((piece) => new TextEncoder().encode(piece)));
      return new Response(body as BodyInit, { headers: { "content-type": type } });
    });
    let seen = 0;
    const { bytes } = await createSender()({
      method: "GET",
      url: `http://127.0.0.1:${server.addr.port}/`,
      headers: {},
      body: undefined,
      signal: new AbortController().signal,
      onAnswer: () => seen++,
    });
    assertEquals(new TextDecoder().decode(bytes), kept);
    assert(seen > 0);
  });
}
