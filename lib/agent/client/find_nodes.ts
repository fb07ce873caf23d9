import { readBounded } from "../../bytes/read_bounded.ts";
import { runBounded } from "../../content/bounded_tasks.ts";
import { isPackageName, isVersion } from "../../kubepkg/kubepkg.ts";
import { DEFAULT_NAMESPACE, isNamespace } from "../../kubepkg/package_id.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";

/** An agent that was found. */
export interface FoundNode {
  readonly id: string;
  /** `host:port` */
  readonly address: string;
  /** The platforms that the agent is configured for, or runs on. */
  readonly platforms: readonly string[];
  /** Where the agent answers over TLS with a certificate of its own; absent if it does not. */
  readonly secure?: { readonly port: number; readonly fingerprint: string };
  /** The installed packages; `undefined` if the agent did not list them. */
  readonly packages: readonly FoundPackage[] | undefined;
}

/** What an agent says of itself. */
type FoundHead = Omit<FoundNode, "packages">;

/** An installed package of an agent. */
interface FoundPackage {
  readonly name: string;
  /** Absent for the namespace `default`. */
  readonly namespace?: string;
  readonly version: string;
}

/** Dependencies of `findNodes`. */
interface FindNodesOptions {
  readonly fetch: (request: Request) => Promise<Response>;
  /** Creates a signal that aborts after a number of milliseconds. */
  readonly timeout: (milliseconds: number) => AbortSignal;
}

const TIMEOUT_MILLISECONDS = 1000;
const MAX_AT_ONCE = 64;
// The maximum size of a response with the packages, and how many of them are read concurrently.
const MAX_BODY_BYTES = 4 * 1024 * 1024;
const MAX_BODIES_AT_ONCE = 4;
const MAX_HEADER = 1024;
const MAX_PACKAGES = 1000;

/**
 * Finds the agents among some addresses, and lists their packages. Each address is asked once, for at most one second.
 * An address with any other response, or with none, is not an agent. Responses are not trusted: their length is
 * limited, and only valid names and versions are returned.
 *
 * @param addresses as `host:port`
 * @returns the agents, in the order of the addresses
 */
export async function findNodes(addresses: readonly string[], options: FindNodesOptions): Promise<FoundNode[]> {
  const heads: (FoundHead | undefined)[] = [];
  await runBounded(addresses.entries(), MAX_AT_ONCE, async ([i, address]) => {
    heads[i] = await askHead(address, options);
  });
  const nodes: FoundNode[] = [];
  await runBounded(heads.filter((head) => head !== undefined).entries(), MAX_BODIES_AT_ONCE, async ([i, head]) => {
    nodes[i] = { ...head, packages: await askPackages(head.address, options) };
  });
  return nodes;
}

/**
 * Parses `X-Node-Agent: <id>; platforms=linux/arm64,linux/amd64; tls=36061; fingerprint=sha256:…`. The last two may be missing.
 *
 * @returns `undefined` when the header is not valid
 */
export function parseNodeHeader(text: string): Pick<FoundNode, "id" | "platforms" | "secure"> | undefined {
  if (text.length > MAX_HEADER) return undefined;
  const [id = "", ...parameters] = text.split(";").map((part) => part.trim());
  if (!/^[\x21-\x3a\x3c-\x7e]{1,253}$/.test(id)) return undefined;
  const valueOf = (name: string) => parameters.find((it) => it.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
  const platforms = valueOf("platforms").split(",").filter((platform) => /^[\w./-]{1,64}$/.test(platform));
  const [port, fingerprint] = [Number(valueOf("tls")), valueOf("fingerprint")];
  const isSecure = Number.isInteger(port) && port > 0 && port < 65536 && /^sha256:[0-9a-f]{64}$/.test(fingerprint);
  return { id, platforms, secure: isSecure ? { port, fingerprint } : undefined };
}

async function askHead(address: string, options: FindNodesOptions): Promise<FoundHead | undefined> {
  try {
    const response = await ask("HEAD", address, options);
    await response.body?.cancel();
    const header = response.status === 200 ? response.headers.get("x-node-agent") : null;
    const parsed = header === null ? undefined : parseNodeHeader(header);
    return parsed === undefined ? undefined : { address, ...parsed };
  } catch {
    // A failed request means that there is no agent.
    return undefined;
  }
}

async function askPackages(address: string, options: FindNodesOptions): Promise<FoundNode["packages"]> {
  try {
    const response = await ask("GET", address, options);
    if (response.status !== 200) {
      await response.body?.cancel();
      return undefined;
    }
    if (response.body === null) return undefined;
    const what = `the packages of ${address}`;
    const bytes = await readBounded(response.body, what, MAX_BODY_BYTES);
    const list = parseJson(bytes, what, { maxBytes: MAX_BODY_BYTES, maxDepth: 128 });
    return Array.isArray(list) ? list.slice(0, MAX_PACKAGES).flatMap(readPackage) : undefined;
  } catch {
    // The node is an agent even if its packages cannot be listed.
    return undefined;
  }
}

async function ask(method: string, address: string, { fetch, timeout }: FindNodesOptions): Promise<Response> {
  const signal = timeout(TIMEOUT_MILLISECONDS);
  // Redirects are not followed, so only the given addresses are asked.
  return await fetch(new Request(`http://${address}/kubepkgs`, { method, signal, redirect: "manual" }));
}

function readPackage(value: unknown): FoundPackage[] {
  const { metadata, spec } = isJsonObject(value) ? value : {};
  const { name, namespace = DEFAULT_NAMESPACE } = isJsonObject(metadata) ? metadata : {};
  const version = isJsonObject(spec) ? spec.version : undefined;
  const isText = (text: unknown): text is string => typeof text === "string" && text.length <= 256;
  if (!isText(name) || !isText(version) || !isPackageName(name) || !isVersion(version)) return [];
  const isOther = isText(namespace) && namespace !== DEFAULT_NAMESPACE && isNamespace(namespace);
  return [{ name, namespace: isOther ? namespace : undefined, version }];
}
