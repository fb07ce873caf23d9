import { AgentError } from "../../../../lib/agent/client/agent_error.ts";
import { chooseAgentUrl, parseAgentAddress } from "../../../../lib/cli/wiring/choose_agent_url.ts";
import { describeError } from "../../../../lib/cli/console/describe_error.ts";
import { RefusedError, UsageError } from "../../../../lib/oci/error.ts";
import type { TransportFailure } from "../../../../lib/upstream/transport/transport_error.ts";
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "../../../support/assert.ts";

const ADDRESSES: [text: string, url: string, hasScheme: boolean][] = [
  ["node1", "https://node1:36060", false],
  ["node1:8080", "https://node1:8080", false],
  ["[fe80::1]", "https://[fe80::1]:36060", false],
  ["node1:443", "https://node1", false],
  ["http://node1", "http://node1", true],
  ["https://node1:36060/", "https://node1:36060", true],
  ["HTTP://node1:36060/agent/", "http://node1:36060/agent", true],
];

for (const [text, url, hasScheme] of ADDRESSES) {
  Deno.test(`parseAgentAddress(${JSON.stringify(text)}) is ${url}`, () => {
    assertEquals(parseAgentAddress(text), { url, hasScheme });
  });
}

Deno.test("parseAgentAddress() refuses what is no address, and shows no password", () => {
  for (
    const text of [
      "",
      "1",
      "1.0.0",
      "http://0x7f.1",
      "ftp://node1",
      "http://node1?x",
      "http://u:secret@node1",
      "u:secret@node1",
    ]
  ) {
    const { message } = assertThrows(() => parseAgentAddress(text), UsageError);
    assertEquals(message.includes("secret"), false);
  }
});

type Answer = TransportFailure | "answers" | undefined;

/** Chooses the URL with an agent whose https port gives an answer; the machine's own address is 10.0.0.1. */
async function choose(text: string, answer: Answer, isInsecureAllowed = false): Promise<string> {
  return await chooseAgentUrl(parseAgentAddress(text), {
    isInsecureAllowed,
    isThisMachine: (host) => host === "10.0.0.1",
    send: ({ headers, url }) => {
      assertEquals([headers, url.startsWith("https:")], [{}, true], "the token is not sent to find out");
      if (answer === "answers") return Promise.resolve({ status: 200, bytes: new Uint8Array() });
      return Promise.reject(new AgentError("no", { isTransient: false, ...(answer && { failure: answer }) }));
    },
  });
}

const CHOSEN: [name: string, text: string, answer: Answer, isInsecureAllowed: boolean, expected: string][] = [
  ["https that was asked for", "https://node1:1", undefined, false, "https://node1:1"],
  ["http to this machine", "http://10.0.0.1:1", undefined, false, "http://10.0.0.1:1"],
  ["http that is allowed", "http://node1:1", undefined, true, "http://node1:1"],
  ["a host that answers over https", "node1:1", "answers", false, "https://node1:1"],
  ["a host that answers over https, with http allowed", "node1:1", "answers", true, "https://node1:1"],
  ["a certificate that is not trusted, with http allowed", "node1:1", "certificate", true, "https://node1:1"],
  ["a host without TLS, with http allowed", "node1:1", "not-tls", true, "http://node1:1"],
  ["this machine without TLS", "10.0.0.1:1", "not-tls", false, "http://10.0.0.1:1"],
  ["a host that refuses connections", "node1:1", "refused", false, "https://node1:1"],
  ["a host that refuses connections, with http allowed", "node1:1", "refused", true, "http://node1:1"],
];

for (const [name, text, answer, isInsecureAllowed, expected] of CHOSEN) {
  Deno.test(`[79] a push to ${name} goes to ${expected}`, async () => {
    assertEquals(await choose(text, answer, isInsecureAllowed), expected);
  });
}

for (
  const [text, answer] of [["http://node1:1", undefined], ["node1:1", "not-tls"], ["node1:1", "cut"], [
    "node1:1",
    undefined,
  ]] as [string, Answer][]
) {
  Deno.test(`[79] a push to ${text} (${answer ?? "no reason"}) is refused, and names --insecure-http`, async () => {
    const error = await assertRejects(() => choose(text, answer), RefusedError);
    assertEquals(error.overrule?.flag, "insecure-http");
    assertStringIncludes(describeError(error), "--insecure-http allows it");
  });
}
