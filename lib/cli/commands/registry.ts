import type { Invocation } from "../command_line/command.ts";
import type { Io } from "../console/io.ts";
import { readHostNames } from "../serving/host_check.ts";
import { announcePairing, withPage } from "../serving/with_page.ts";
import { serveRegistry } from "../serving/serve_registry.ts";

const DEFAULT_PORT = 6060;

/** `crpe registry` */
export async function runRegistry(invocation: Invocation, io: Io): Promise<number> {
  if (invocation.isSet("pair")) {
    return await (await import("../serving/show_pairing.ts")).runPair(invocation, io, DEFAULT_PORT);
  }
  const hostNames = readHostNames(invocation);
  return await serveRegistry(invocation, io, {
    name: "crpe registry",
    defaultPort: DEFAULT_PORT,
    announce: (url) => announcePairing(url, { invocation, io }),
    extend: (registry, context) =>
      withPage(registry, { invocation, io, context }, {
        kind: "registry",
        node: Deno.hostname(),
        hostNames,
        // Only the page needs it, so it is made at the first request for the page.
        openToken: async () => {
          if (context.isReadOnly) return undefined;
          return (await (await import("../../agent/api_token.ts")).ensureToken(context.settings.data)).token;
        },
      }),
  });
}
