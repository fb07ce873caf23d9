import { AGENT_PORT } from "../../agent/protocol.ts";
import { AgentClient } from "../../agent/client/agent_client.ts";
import { CHANGE_MILLISECONDS } from "../../agent/client/agent_packages.ts";
import type { AgentAnswer, AgentRequest } from "../../agent/client/request_agent.ts";
import { AgentError } from "../../agent/client/agent_error.ts";
import { askNode, type NodeState, redeemCode, requestNode } from "../../agent/client/ask_node.ts";
import { type BoundNode, BoundNodes } from "../../agent/client/bound_nodes.ts";
import { createNodeSender, type NodeAccess } from "../../agent/client/node_sender.ts";
import { parseFingerprint } from "../../agent/client/pinned_relay.ts";
import { findNodes } from "../../agent/client/find_nodes.ts";
import { pushBundle } from "../../agent/client/push_bundle.ts";
import { addressesOfSubnet, localSubnets } from "../../agent/client/subnet.ts";
import type { Outbox, OutboxBundle, OutboxPackage } from "../../bundle/outbox.ts";
import { compareVersions } from "../../kubepkg/compare_versions.ts";
import { isVersion } from "../../kubepkg/kubepkg.ts";
import { readBundle } from "../../bundle/read_bundle.ts";
import type { BundleSource } from "../../bytes/byte_reader.ts";
import { decideTrust, readSignedDocument, type SiteTrust } from "../../install/trust.ts";
import type { Digest } from "../../oci/digest.ts";
import { cannot, RefusedError, RegistryError } from "../../oci/error.ts";
import type { JobContext } from "../../page/page_jobs.ts";
import type { NodeAddition, PageNodes, SendOptions } from "../../page/page_options.ts";
import { listOwnAddresses, OwnHosts } from "../../server/own_hosts.ts";
import { backoffDelay, DEFAULT_RETRY_POLICY, sleepByTimer } from "../../upstream/transport/retry.ts";
import { type AddressCheck, createAddressCheck } from "../../upstream/trust/address_check.ts";
import type { Io } from "../console/io.ts";
import { readSystemCertificates } from "../wiring/certificates.ts";
import { type AgentAddress, chooseAgentUrl } from "../wiring/choose_agent_url.ts";
import { openBundle } from "../wiring/open_bundle.ts";
import { pinAgent } from "../wiring/pin_agent.ts";
import { resolveHost } from "../wiring/open_upstream.ts";
import { readNodeAddress } from "../wiring/read_node_address.ts";
import type { ServerContext } from "./serve_registry.ts";
import { withInput } from "./with_input.ts";

const UNAUTHORIZED = 401;

/** Creates what the page of a registry does with agents. */
export function createPageNodes(
  io: Io,
  { context, outbox, readTrust }: {
    readonly context: Pick<ServerContext, "settings" | "log">;
    readonly outbox: Outbox;
    /** Reads whose bundles are sent; `undefined`: all. */
    readonly readTrust?: () => Promise<SiteTrust | undefined>;
  },
): PageNodes {
  const checkAddress = createAddressCheck({
    resolveHost: ({ hostname }) => resolveHost(hostname),
    now: () => performance.now(),
  });
  const bound = new BoundNodes(context.settings.data);
  // Read again each time, because the system's certificates change while a server runs.
  const withTrust: WithTrust = (node) => ({ ...node, ca: node.ca ?? readSystemCertificates(io).join("\n") });
  const find = async (url: string) => {
    const node = await bound.find(url);
    if (node !== undefined) return withTrust(node);
    throw new RegistryError("NOT_FOUND", cannot(`find ${url}`, "this agent was not added"));
  };
  const push = async (url: string, bundle: Digest, options: SendOptions & { dryRun: boolean; job?: JobContext }) => {
    const node = await find(url);
    const { name, size } = await describeBundle(outbox, bundle);
    const { dryRun, job } = options;
    const trust = await readTrust?.();
    if (trust !== undefined) await checkTrust(await openBundle(outbox.pathOf(bundle), io), name, trust);
    const signal = job?.signal;
    const warnings: string[] = [];
    const onWarning = (message: string) => {
      warnings.push(message);
      if (!dryRun) context.log.write("warning", `${url}: ${message}`);
    };
    const { document, sent } = await pushBundle({
      client: createClient(node, { ...options, signal, onWarning }),
      what: name,
      open: () => openBundle(outbox.pathOf(bundle), io),
      size,
      dryRun,
      onProgress: (bytes, total) => job?.onProgress({ bytes, total }),
      onRetry: (reason) => context.log.write("warning", `${url}: ${reason}; retrying`),
      sleep: (milliseconds) => sleepByTimer(milliseconds, signal),
      delayOf: (failures) => backoffDelay(failures, Math.random, DEFAULT_RETRY_POLICY),
    }).catch((error) => rethrow(error, `send ${name} to ${url}`));
    if (!dryRun) context.log.write("info", `sent ${name} to ${url}: ${sent.bytes} bytes`);
    // Those of the plan, and of every package.
    return { ...document, warnings: warnings.length === 0 ? undefined : warnings, [dryRun ? "toSend" : "sent"]: sent };
  };
  return {
    list: async () => {
      const [nodes, bundles] = [
        await Promise.all((await bound.list()).map(withTrust).map(askNode)),
        await outbox.list(),
      ];
      const describe = (one: InstalledPackage) => ({ ...one, lower: listLower(one, bundles) });
      return { nodes: nodes.map((node) => ({ ...node, packages: node.packages.map(describe) })) };
    },
    search: async () => ({ found: await searchNodes() }),
    async add(addition) {
      const node = await openNode(addition, { checkAddress, withTrust });
      const state = await askNode(withTrust(node));
      if (state.state !== "ready") throw new RefusedError(cannot(`add ${node.url}`, state.reason));
      await bound.add(node);
      return state;
    },
    remove: async (url) => {
      await find(url);
      await bound.remove(url);
    },
    plan: (url, bundle, options) => push(url, bundle, { ...options, dryRun: true }),
    send: (url, bundle, { job, ...options }) => push(url, bundle, { ...options, job, dryRun: false }),
    async change(url, method, path) {
      const node = await find(url);
      const answer = await requestNode(node, { method, path, timeout: CHANGE_MILLISECONDS })
        .catch((error) => rethrow(error, `change ${url}`));
      // The page would take it for a refusal of its own token.
      if (answer.status === UNAUTHORIZED) throw denied(url);
      return { status: answer.status, bytes: answer.bytes as Uint8Array<ArrayBuffer> };
    },
  };
}

/** Adds the authorities of the system to an agent without any of its own. */
type WithTrust = <T extends NodeAccess>(node: T) => T;

type InstalledPackage = NodeState["packages"][number];

/** Lists the bundles that would be a downgrade of a package. */
function listLower({ name, namespace, version }: InstalledPackage, bundles: readonly OutboxBundle[]): Digest[] {
  if (typeof version !== "string" || !isVersion(version)) return [];
  const isLower = (one: OutboxPackage) =>
    one.name === name && one.namespace === (namespace ?? "default") && compareVersions(one.version, version) < 0;
  return bundles.filter(({ packages }) => packages.some(isLower)).map(({ digest }) => digest);
}

/** Reads the address of an agent, and tries how it is reached. @throws {RegistryError} as `readNodeAddress` does */
async function openNode(
  { address, token, ca, fingerprint: entered, isInsecureAllowed }: NodeAddition,
  { checkAddress, withTrust }: { readonly checkAddress: AddressCheck; readonly withTrust: WithTrust },
): Promise<BoundNode> {
  const { address: given, code, fingerprint } = await readNodeAddress(address, checkAddress);
  const own = new OwnHosts({ hostname: "", domains: [], listAddresses: listOwnAddresses });
  const isThisMachine = (host: string) => own.has(host);
  const isPlain = !given.hasScheme && (isInsecureAllowed || isThisMachine(new URL(given.url).hostname));
  const pinned = await pinAgent(given, {
    given: fingerprint ?? (entered === undefined ? undefined : await readFingerprint(entered, given)),
    isOptional: isPlain || ca !== undefined,
    advise: (found) => `enter ${found} as its fingerprint, below https`,
  });
  const url = pinned?.url ??
    await chooseAgentUrl(given, {
      send: createNodeSender(withTrust({ url: given.url, ca })),
      isInsecureAllowed,
      isThisMachine,
    });
  const access = { url, ca, pin: pinned?.pin };
  const known = code === undefined
    ? token
    : await redeemCode(withTrust(access), code).catch((error) => rethrow(error, `add ${url}`));
  if (known === undefined) {
    throw new RegistryError("INVALID", cannot(`add ${url}`, "its token is required, or the link with a one-time code"));
  }
  return { ...access, token: known };
}

async function readFingerprint(text: string, { url }: AgentAddress): Promise<string> {
  if (url.startsWith("http:")) {
    throw new RegistryError(
      "INVALID",
      cannot(`add ${url}`, "a fingerprint is of a certificate", "write https://HOST:PORT"),
    );
  }
  return await withInput(() => parseFingerprint(text));
}

async function searchNodes(): Promise<unknown> {
  const addresses = localSubnets(listInterfaces()).flatMap((subnet) => addressesOfSubnet(subnet) ?? []);
  return await findNodes(addresses.map((address) => `${address}:${AGENT_PORT}`), {
    fetch,
    timeout: (milliseconds) => AbortSignal.timeout(milliseconds),
  });
}

function listInterfaces(): Deno.NetworkInterfaceInfo[] {
  try {
    return Deno.networkInterfaces();
  } catch (cause) {
    // Android does not let programs list the network interfaces.
    throw new RegistryError(
      "UNAVAILABLE",
      cannot("search for agents", "the system does not list its network interfaces", "add the agent by its address"),
      { cause },
    );
  }
}

/** @throws {UntrustedError} when a package of the bundle is not trusted */
async function checkTrust(source: BundleSource, what: string, trust: SiteTrust): Promise<void> {
  const bundle = await readBundle(source, { what });
  try {
    const document = await readSignedDocument(bundle, trust);
    for (const kubepkg of bundle.packages) {
      const { refusal } = await decideTrust(kubepkg, document, { trust, action: "send" });
      if (refusal !== undefined) throw refusal;
    }
  } finally {
    await bundle.cancel();
  }
}

function createClient(
  node: BoundNode,
  { force, pruneData, signal, onWarning }: SendOptions & {
    readonly signal: AbortSignal | undefined;
    readonly onWarning: (message: string) => void;
  },
): AgentClient {
  const send = createNodeSender(node, { isStoppable: signal !== undefined });
  return new AgentClient({
    url: node.url,
    token: node.token,
    send: signal === undefined ? send : (request) => sendUntil(signal, request, send),
    force,
    pruneData,
    onWarning,
  });
}

// `AbortSignal.any` would do, but some releases of the runtime collect its result while a request waits, and never abort it.
async function sendUntil(
  stop: AbortSignal,
  request: AgentRequest,
  send: (request: AgentRequest) => Promise<AgentAnswer>,
): Promise<AgentAnswer> {
  const either = new AbortController();
  const signals = [stop, request.signal];
  const abort = () => either.abort(signals.find(({ aborted }) => aborted)?.reason);
  for (const signal of signals) signal.addEventListener("abort", abort);
  try {
    if (signals.some(({ aborted }) => aborted)) abort();
    return await send({ ...request, signal: either.signal });
  } finally {
    for (const signal of signals) signal.removeEventListener("abort", abort);
  }
}

async function describeBundle(outbox: Outbox, digest: Digest): Promise<{ name: string; size: number }> {
  const file = await outbox.open(digest);
  if (file === undefined) {
    throw new RegistryError("NOT_FOUND", cannot(`find ${digest}`, "the outbox has no such bundle"));
  }
  file.close();
  return { name: await outbox.nameOf(digest), size: file.size };
}

function rethrow(error: unknown, action: string): never {
  if (!(error instanceof AgentError)) throw error;
  if (error.status === UNAUTHORIZED) throw denied(action.split(" ").at(-1)!);
  throw new RegistryError("BAD_GATEWAY", cannot(action, error.reason, error.advice), { cause: error });
}

function denied(url: string): RefusedError {
  return new RefusedError(
    cannot(`use ${url}`, "it does not accept the token any more", "add it again with its new one"),
  );
}
