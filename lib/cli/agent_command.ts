import { isAgentPath } from "../agent/agent_route.ts";
import { formatPlatform } from "../oci/platform.ts";
import { type Invocation, UsageError } from "./command.ts";
import { pathOf } from "./exchange.ts";
import type { Io } from "./io.ts";
import { parseSize } from "./quantity.ts";
import type { Handler } from "./serve.ts";
import { serveRegistry } from "./serve_registry.ts";
import type { Settings } from "./settings.ts";

/** Where an agent listens. */
export const AGENT_PORT = 36060;

/** `crpe agent` */
export async function runAgent(invocation: Invocation, io: Io): Promise<number> {
  const id = readNodeId(invocation.flag("node-id") ?? io.env("DEVICE_ID"));
  const limit = invocation.flag("max-bundle");
  const maxBundle = limit === undefined ? undefined : parseSize(limit, "--max-bundle");
  let hint: ((url: string) => string) | undefined;
  return await serveRegistry(invocation, io, {
    name: "crpe agent",
    defaultPort: AGENT_PORT,
    adjust: (settings) => ({ ...settings, isClosed: true }),
    extend: async (registry, serving) => {
      const { openAgentApi } = await import("./agent_api.ts");
      const api = await openAgentApi(invocation, serving, {
        node: { id, platforms: platformsOf(serving.settings) },
        maxBundle,
      });
      hint = api.hint;
      const answer: Handler = (request, exchange) =>
        isAgentPath(pathOf(request)) ? api.handler(request) : registry(request, exchange);
      return answer;
    },
    announce: (url) => hint?.(url),
  });
}

function platformsOf({ platforms }: Settings): string[] {
  return (platforms ?? [ownPlatform()]).map(formatPlatform);
}

// Containers on a phone are Linux ones.
function ownPlatform() {
  const { os, arch } = Deno.build;
  return { os: os === "android" ? "linux" : os, architecture: arch };
}

// It becomes a header's value, and what follows a `;` is another parameter.
function readNodeId(named: string | undefined): string {
  const id = (named ?? Deno.hostname()).trim();
  if (/^[\x21-\x3a\x3c-\x7e]{1,253}$/.test(id)) return id;
  throw new UsageError(
    `Cannot use the node id ${
      JSON.stringify(id)
    }: it has to be printable ASCII without spaces or ";"; name one with --node-id`,
  );
}
