import { AgentClient, bodyOf } from "../../../../lib/agent/client/agent_client.ts";
import { AgentError } from "../../../../lib/agent/client/agent_error.ts";
import { RequestTimeout } from "../../../../lib/agent/client/request_timeout.ts";
import { computeDigest } from "../../../../lib/oci/digest.ts";
import { NoSpaceError } from "../../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";

Deno.test("[8] AgentClient gives up a blob whose connection was cut unnoticed, long before the time for an installation", async () => {
  const client = new AgentClient({
    url: "http://agent.test",
    token: "token-of-the-agent",
    send: async ({ body, signal }) => {
      for await (const _ of body!.stream) { /* The runtime takes all bytes, and reports nothing. */ }
      return await new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    },
    force: false,
    stallTimeout: 20,
    answerTimeout: 24 * 60 * 60 * 1000,
  });
  const bytes = new TextEncoder().encode("a blob");
  const blob = { digest: computeDigest("a blob"), size: bytes.length, start: 0 };
  await assertRejects(() => client.putBlob(blob, bodyOf(bytes).stream), Error, "no progress for");
});

function installer(line: unknown, accepted: string[] = [], warnings: string[] = []): AgentClient {
  return new AgentClient({
    url: "http://agent.test",
    token: "token-of-the-agent",
    send: async ({ body, headers }) => {
      accepted.push(headers.accept!);
      for await (const _ of body!.stream) { /* An agent reads the request. */ }
      return { status: 200, bytes: new TextEncoder().encode(`${JSON.stringify(line)}\n`) };
    },
    force: false,
    onWarning: (message) => void warnings.push(message),
    stallTimeout: 60_000,
    answerTimeout: 60_000,
  });
}

const bundle = () => bodyOf(new TextEncoder().encode("a bundle"));

Deno.test("AgentClient asks for progress of an installation, and takes the last line for the result", async () => {
  const accepted: string[] = [];
  const document = { name: "line4", version: "1.0.0" };
  assertEquals(await installer(document, accepted).install(bundle()), document);
  assertEquals(accepted, ["application/x-ndjson, application/json"]);
});

for (
  const [what, document, expected] of [
    ["of a package", { warnings: ["a", "b", 1] }, ["a", "b"]],
    ["of several packages", { packages: [{ warnings: ["a"] }, { name: "b" }, { warnings: ["c"] }] }, ["a", "c"]],
    ["of an agent that sends none", { warnings: "a" }, []],
  ] as const
) {
  Deno.test(`AgentClient reports each warning ${what} once`, async () => {
    const warnings: string[] = [];
    const client = installer({ name: "line4", version: "1.0.0", ...document }, [], warnings);
    for (let i = 0; i < 2; i++) await client.install(bundle());
    assertEquals(warnings, [...expected]);
  });
}

Deno.test("AgentClient throws the error of the last line, and a transient one when the result is missing", async () => {
  const error = { code: "NO_SPACE", message: "Cannot import line4@1.0.0: 1 B are missing" };
  await assertRejects(() => installer({ error }).install(bundle()), NoSpaceError, error.message);
  const progress = { bytes: 1, total: 2, entry: "deltas/sha256/00" };
  const cut = await assertRejects(() => installer(progress).install(bundle()), AgentError, "ends before the result");
  assert(cut.isTransient);
});

Deno.test("RequestTimeout counts from the last sign of life of the agent", async () => {
  const watch = new RequestTimeout({ stallTimeout: 1000, answerTimeout: 1000 });
  const timers: number[] = [];
  const { setTimeout: start } = globalThis;
  // Counts the timers instead of waiting for them.
  globalThis.setTimeout = ((run: () => void, time: number) => (timers.push(time), start(run, 1))) as typeof setTimeout;
  try {
    watch.noteAnswer();
    assertEquals(timers, []);
    watch.expectAnswer();
    watch.noteAnswer();
    assertEquals(timers, [1000, 1000]);
  } finally {
    globalThis.setTimeout = start;
  }
  await new Promise((resolve) => watch.signal.addEventListener("abort", resolve, { once: true }));
  assertStringIncludes(String(watch.failure), "no progress for");
});
