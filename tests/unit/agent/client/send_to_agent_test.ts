import { createSender } from "../../../../lib/agent/client/send_to_agent.ts";

Deno.test("createSender(): a promise that only the runtime has does not end the process when a body is destroyed", async () => {
  createSender();
  // The test fails if this is reported as an uncaught error.
  Promise.reject(new TypeError("Failed to fetch: request body stream errored"));
  await new Promise((resolve) => setTimeout(resolve, 10));
});
