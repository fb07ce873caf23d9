import { AgentClient, bodyOf } from "../../../../lib/agent/client/agent_client.ts";
import { computeDigest } from "../../../../lib/oci/digest.ts";
import { assertRejects } from "../../../support/assert.ts";

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
