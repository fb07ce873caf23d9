import { AGENT_PORT } from "../../agent/protocol.ts";
import { type ApiToken, ensureToken, readTokenFile } from "../../agent/api_token.ts";
import { ApiTokens } from "../../agent/check_token.ts";
import { NamedTokens } from "../../agent/named_tokens.ts";
import { isAgentPath } from "../../agent/route.ts";
import { formatPlatform } from "../../oci/platform.ts";
import { pathOf } from "../../server/exchange.ts";
import type { SharedHandoverOptions } from "../../install/cluster/shared_handover.ts";
import { isLoopback } from "../../server/own_hosts.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, HANDOVER_FLAGS, isHandedOver, SERVE_FLAGS, STORE_FLAGS, UPSTREAM_FLAGS } from "../command_line/flags.ts";
import { readPendingTtl } from "../command_line/pending_ttl.ts";
import { ownPlatform, parseAddress, type Settings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { parseDuration, parseSize } from "../console/quantity.ts";
import { readHostNames, readOwnHosts } from "../serving/host_check.ts";
import { announcePairing, withPage } from "../serving/with_page.ts";
import type { SecureAddress } from "../../agent/options.ts";
import type { Address } from "../../server/listen.ts";
import type { Handler } from "../serving/serve.ts";
import { readNamedTrust } from "../wiring/read_named_trust.ts";
import { TrustWatch } from "../serving/trust_watch.ts";
import { type ServerContext, serveRegistry } from "../serving/serve_registry.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** `crpe agent` */
export const COMMAND: CommandDefinition = {
  interrupted: undefined,
  details: [
    "Serves the registry and an API that installs bundles: use crpe push, or curl -T PKG.tgz ADDRESS/kubepkgs and the token.",
    "An upstream is contacted only if --upstream or the configuration names it.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    { ...FLAG.addr, summary: "where to listen [:36060; $PORT changes the port]" },
    {
      name: "tls-addr",
      value: "HOST:PORT|off",
      summary: "where to serve https, with a certificate of its own [the port behind that of --addr]",
    },
    ...HANDOVER_FLAGS,
    {
      name: "token-file",
      value: "FILE",
      summary: "file with the token that imports need [generated at the first start, in the data folder]",
    },
    FLAG.trustedKeys,
    FLAG.firstUse,
    { name: "node-id", value: "ID", summary: "name of this node [$DEVICE_ID, else the host name]" },
    { ...FLAG.platform, summary: "platforms of the node, comma-separated [$PLATFORMS, else this machine's]" },
    {
      name: "sync-interval",
      value: "DURATION",
      summary: "how often the manifests are compared with other servers; 0: never [60s]",
    },
    { name: "max-bundle", value: "SIZE", summary: "size limit of a bundle, such as 20GiB [unlimited]" },
    FLAG.pendingTtl,
    ...UPSTREAM_FLAGS,
    ...SERVE_FLAGS,
  ],
  usesKubectl: isHandedOver,
  examples: [[
    "crpe agent --data=/srv/crpe --manifests-dir=/var/lib/rancher/k3s/server/manifests",
    "accept bundles, and hand their manifests to k3s",
  ]],
  run: runAgent,
};

async function runAgent(invocation: Invocation, io: Io): Promise<number> {
  if (invocation.isSet("pair")) {
    return await (await import("../serving/show_pairing.ts")).runPair(invocation, io, AGENT_PORT);
  }
  const id = readNodeId(invocation.flag("node-id") ?? io.env("DEVICE_ID"));
  const limit = invocation.flag("max-bundle");
  const maxBundle = limit === undefined ? undefined : parseSize(limit, "--max-bundle");
  const tokenFile = invocation.flag("token-file");
  const given = readHostNames(invocation);
  // Conflicting hand-over flags are an error at the start, not at the first request.
  if (invocation.isSet("kubectl")) (await import("../wiring/open_handover.ts")).readHandoverPlace(invocation);
  if (invocation.flag("release-namespace") !== undefined) {
    (await import("../wiring/open_releases.ts")).readReleaseNamespace(invocation);
  }
  const interval = parseDuration(invocation.flag("sync-interval") ?? "60s", "--sync-interval");
  const pendingTtl = readPendingTtl(invocation);
  const tlsAddr = readTlsAddress(invocation.flag("tls-addr"));
  let token: ApiToken | undefined;
  let secure: SecureAddress | undefined;
  return await serveRegistry(invocation, io, {
    name: "crpe agent",
    defaultPort: AGENT_PORT,
    // A site without a network must not wait for well-known registries.
    adjust: (settings) => ({ ...settings, isClosed: true }),
    extend: async (registry, context) => {
      token = await openToken(tokenFile, context);
      const tokens = new ApiTokens(token?.token, token && new NamedTokens(context.settings.data));
      startExpiry(context, pendingTtl);
      announceKey(context);
      // Keys that cannot be read are an error at the start, not at the first import.
      const trust = await readNamedTrust(invocation, context);
      const watch = new TrustWatch(context);
      await watch.see(trust);
      const node = { id, platforms: platformsOf(context.settings), readSecure: () => secure };
      const sync = interval === 0 || context.isReadOnly
        ? undefined
        : openSync({ invocation, io, node: id, interval }, context);
      // A failure is seen by the first request for the API.
      sync?.catch(() => {});
      // The API is loaded at the first request for it, to keep the start short.
      const load = async () => {
        const { openAgentApi } = await import("../serving/agent_api.ts");
        const hosts = await readOwnHosts(given);
        const isOwnHost = (host: string, localAddress?: string) => hosts.has(host, localAddress);
        return openAgentApi(invocation, context, {
          node,
          maxBundle,
          tokens,
          records: await context.openRecords(),
          readTrust: async () => await watch.see(await readNamedTrust(invocation, context)),
          isOwnHost,
          shared: await sync,
        });
      };
      let api: ReturnType<typeof load> | undefined;
      const answer: Handler = async (request, exchange) =>
        isAgentPath(pathOf(request))
          ? await (await (api ??= load()))(request, exchange)
          : await registry(request, exchange);
      return withPage(answer, { invocation, io, context }, {
        kind: "agent",
        node: id,
        hostNames: given,
        acceptsOnlySigned: trust !== undefined,
        openTokens: () => Promise.resolve(tokens),
      });
    },
    secure: async (address, context) => {
      if (tlsAddr === "off") return undefined;
      const { openSecureListener } = await import("../serving/open_secure_listener.ts");
      return await openSecureListener(address, { given: tlsAddr, context, onListen: (at) => secure = at });
    },
    announce: (url) => {
      if (token !== undefined) announcePairing(url, { invocation, io, secure });
      return [
        ...(secure === undefined ? [] : [`also on ${secure.url}, with the certificate ${secure.fingerprint}`]),
        ...(token === undefined || tokenFile !== undefined ? [] : [formatHint(url, token.path, secure)]),
      ];
    },
  });
}

// Made beside the start, which does not wait for it.
async function announceKey({ settings: { data }, isReadOnly, log }: ServerContext): Promise<void> {
  if (isReadOnly) return;
  try {
    const { NodeKey } = await import("../../install/records/node_key.ts");
    const { public: { id } } = await new NodeKey(data).ensure();
    log.write("info", `receipts are signed with key ${id}; crpe receipt key prints it`);
  } catch (error) {
    log.write("error", (error as Error).message);
  }
}

// Loaded beside the start, which does not wait for it.
async function startExpiry({ openRecords, isReadOnly, log }: ServerContext, ttl: number): Promise<void> {
  if (isReadOnly || ttl === 0) return;
  const { startPendingExpiry } = await import("../serving/pending_expiry.ts");
  startPendingExpiry(openRecords, { ttl, log });
}

/**
 * Starts to compare the manifest folder with the cluster: loaded beside the start, which does not wait for it.
 *
 * @returns what the hand-over shares with other servers
 */
async function openSync(
  { invocation, io, node, interval }: { invocation: Invocation; io: Io; node: string; interval: number },
  { openRecords, log, audit }: ServerContext,
): Promise<SharedHandoverOptions | undefined> {
  const manifestsDir = invocation.flag("manifests-dir");
  if (manifestsDir === undefined) return undefined;
  const { createFolderHandover } = await import("../wiring/open_handover.ts");
  const { openReleases } = await import("../wiring/open_releases.ts");
  const { ReleaseSync } = await import("../serving/release_sync.ts");
  const releases = openReleases(invocation, io, { manifestsDir, node });
  const handover = createFolderHandover(manifestsDir);
  const sync = new ReleaseSync({ records: await openRecords(), handover, releases, log, audit, interval });
  sync.start();
  return { releases, onUnreachable: (error) => sync.reportUnreachable(error) };
}

// Nothing can be imported into a read-only data folder: it needs no token.
async function openToken(file: string | undefined, context: ServerContext): Promise<ApiToken | undefined> {
  const { settings: { data }, isReadOnly, log } = context;
  if (isReadOnly) return undefined;
  const token = file === undefined ? await ensureToken(data) : await readTokenFile(file);
  if (token.isReadableByGroup) {
    log.write(
      "warning",
      `${token.path} can be read by its group, and the token allows importing; chmod 600 it`,
    );
  }
  return token;
}

function formatHint(url: string, path: string, secure: SecureAddress | undefined): string {
  const at = new URL(secure?.url ?? url);
  if (at.hostname === "0.0.0.0") at.hostname = Deno.hostname();
  const isOpen = at.protocol === "http:" && !isLoopback(at.hostname);
  return `importing needs the token in ${path}; copy that file to the sender: crpe push PKG.tgz --to ${at.origin} ` +
    `--token-file FILE${isOpen ? " --insecure-http" : ""}${
      secure === undefined ? "" : ` --fingerprint ${secure.fingerprint}`
    }`;
}

function readTlsAddress(text: string | undefined): Address | "off" | undefined {
  return text === undefined || text === "off" ? text : parseAddress(text, "--tls-addr");
}

function platformsOf({ platforms }: Settings): string[] {
  return (platforms ?? [ownPlatform()]).map(formatPlatform);
}

// The node id is sent in a header, where a `;` would begin a parameter.
function readNodeId(named: string | undefined): string {
  const id = (named ?? Deno.hostname()).trim();
  if (/^[\x21-\x3a\x3c-\x7e]{1,253}$/.test(id)) return id;
  throw new UsageError(
    cannot(
      `use the node id ${JSON.stringify(id)}`,
      'it must be printable ASCII without spaces or ";"',
      "name one with --node-id",
    ),
  );
}
