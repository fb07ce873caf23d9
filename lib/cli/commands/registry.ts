import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, SERVE_FLAGS, STORE_FLAGS, UPSTREAM_FLAGS } from "../command_line/flags.ts";
import type { Io } from "../console/io.ts";
import { readHostNames } from "../serving/host_check.ts";
import { announcePairing, withPage } from "../serving/with_page.ts";
import { readNamedTrust } from "../wiring/read_named_trust.ts";
import { serveRegistry } from "../serving/serve_registry.ts";

/** `crpe registry` */
export const COMMAND: CommandDefinition = {
  interrupted: undefined,
  details: [
    "Clients pull HOST/PATH:TAG as ADDRESS/HOST/PATH:TAG, or use this registry as a mirror of HOST.",
    "Without --upstream, the well-known public registries are pulled through under their own names.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    FLAG.addr,
    {
      ...FLAG.trustedKeys,
      summary: "the page sends only bundles signed with these public keys (PEM), or as a policy says",
    },
    ...UPSTREAM_FLAGS,
    ...SERVE_FLAGS,
  ],
  examples: [
    ["crpe registry --data=/srv/crpe --cache-max=20GiB", "serve, and keep at most 20 GiB"],
    ["crpe registry --upstream=registry.lan=http://192.168.1.5:5000", "pull through from one registry only"],
  ],
  run: runRegistry,
};

const DEFAULT_PORT = 6060;

async function runRegistry(invocation: Invocation, io: Io): Promise<number> {
  if (invocation.isSet("pair")) {
    return await (await import("../serving/show_pairing.ts")).runPair(invocation, io, DEFAULT_PORT);
  }
  const hostNames = readHostNames(invocation);
  return await serveRegistry(invocation, io, {
    name: "crpe registry",
    defaultPort: DEFAULT_PORT,
    announce: (url) => {
      announcePairing(url, { invocation, io });
      return [];
    },
    extend: async (registry, context) => {
      const readTrust = () => readNamedTrust(invocation, context);
      // Keys that cannot be read are an error at the start, not when a bundle is sent.
      await readTrust();
      return withPage(registry, { invocation, io, context }, {
        kind: "registry",
        node: Deno.hostname(),
        hostNames,
        readTrust,
        // Only the page needs it, so it is made at the first request for the page.
        openTokens: async () => {
          const { ApiTokens } = await import("../../agent/check_token.ts");
          if (context.isReadOnly) return new ApiTokens(undefined);
          const { ensureToken } = await import("../../agent/api_token.ts");
          const { NamedTokens } = await import("../../agent/named_tokens.ts");
          const { data } = context.settings;
          return new ApiTokens((await ensureToken(data)).token, new NamedTokens(data));
        },
      });
    },
  });
}
