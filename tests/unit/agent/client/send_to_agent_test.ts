import { createSender } from "../../../../lib/agent/client/send_to_agent.ts";

const REASONS = [new TypeError("Failed to fetch: request body stream errored"), "resource closed"];

for (const reason of REASONS) {
  Deno.test(`createSender(): a promise that only the runtime has does not end the process: ${reason}`, async () => {
    createSender();
    // The test fails if this is reported as an uncaught error.
    Promise.reject(reason);
    await new Promise((resolve) => setTimeout(resolve, 10));
  });
}
