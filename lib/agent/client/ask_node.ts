import { cannot, RefusedError } from "../../oci/error.ts";
import { isJsonObject, textOf, textsOf } from "../../oci/json.ts";
import { AgentError, errorOfAnswer, notAnAgent } from "./agent_error.ts";
import type { BoundNode } from "./bound_nodes.ts";
import { createNodeSender, type NodeAccess } from "./node_sender.ts";
import { type AgentAnswer, type BodilessRequest, parseAnswer, requestAgent } from "./request_agent.ts";

/** The state of an agent. */
export interface NodeState {
  readonly url: string;
  /** `denied`: it does not accept the token any more. */
  readonly state: "ready" | "denied" | "unreachable";
  /** Why it is not ready. */
  readonly reason?: string;
  /** The name of the node; absent if the agent has no page. */
  readonly node?: string | undefined;
  readonly version?: string | undefined;
  readonly platforms?: readonly string[] | undefined;
  readonly freeBytes?: number | undefined;
  /** The installed packages as `GET /api/packages` describes them. A field of another type is absent. */
  readonly packages: readonly Document[];
  /** Whether the agent can roll back and remove packages: it has a page. */
  readonly canChange: boolean;
}

type Document = Readonly<Record<string, unknown>>;

const ASK_MILLISECONDS = 5000;
const UNAUTHORIZED = 401;

/** Sends a request to an agent. @throws {AgentError} when no response is received */
export async function requestNode(node: BoundNode, request: BodilessRequest): Promise<AgentAnswer> {
  return await requestAgent({ url: node.url, token: node.token, send: createNodeSender(node) }, request);
}

/** Asks an agent how it is, and what is installed on it. */
export async function askNode(node: BoundNode): Promise<NodeState> {
  const { url } = node;
  try {
    const [status, packages] = await Promise.all([getFrom(node, "/api/status"), getFrom(node, "/api/packages")]);
    // An agent that was started without its page.
    if (status === undefined) return { url, state: "ready", packages: await listPackages(node), canChange: false };
    const list = isJsonObject(packages) ? packages.packages : undefined;
    if (!isJsonObject(status) || !Array.isArray(list)) throw notAnAgent("an unknown list");
    return {
      ...{ url, state: "ready", canChange: true },
      node: textOf(status.node),
      version: textOf(status.version),
      platforms: textsOf(status.platforms),
      freeBytes: numberOf(status.freeBytes),
      packages: readPackages(list),
    };
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    const isDenied = error.status === UNAUTHORIZED;
    const reason = isDenied ? "it does not accept the token" : error.message;
    return { url, state: isDenied ? "denied" : "unreachable", reason, packages: [], canChange: false };
  }
}

/**
 * Exchanges a one-time code of an agent for its token.
 *
 * @throws {RefusedError} when the agent does not accept the code
 * @throws {AgentError} when it cannot be reached
 */
export async function redeemCode(node: NodeAccess, code: string): Promise<string> {
  const { url } = node;
  const bytes = new TextEncoder().encode(JSON.stringify({ code }));
  const { status, bytes: answer } = await createNodeSender(node)({
    method: "POST",
    url: `${url}/api/session`,
    headers: { accept: "application/json", "content-type": "application/json" },
    body: { stream: new Blob([bytes]).stream(), length: bytes.length },
    signal: AbortSignal.timeout(ASK_MILLISECONDS),
  });
  const document = parseAnswer(answer);
  const token = isJsonObject(document) ? document.token : undefined;
  if (status === 200 && typeof token === "string" && /^[\x21-\x7e]+$/.test(token)) return token;
  const [error] = isJsonObject(document) && Array.isArray(document.errors) ? document.errors : [];
  throw new RefusedError(
    cannot(
      `add ${url}`,
      `it does not accept the code${
        isJsonObject(error) && typeof error.message === "string" ? `: ${error.message}` : ""
      }`,
    ),
  );
}

async function listPackages(node: BoundNode): Promise<Document[]> {
  const document = await getFrom(node, "/kubepkgs");
  if (!Array.isArray(document)) throw notAnAgent("an unknown list");
  return readPackages(
    document.filter(isJsonObject).map(({ metadata, spec, error }) => {
      const { name, namespace } = isJsonObject(metadata) ? metadata : {};
      return { name, namespace, version: isJsonObject(spec) ? spec.version : undefined, error };
    }),
  );
}

// The page shows these fields, and expects each to have its type. A package without a name is left out.
function readPackages(list: readonly unknown[]): Document[] {
  return list.filter(isJsonObject).filter(({ name }) => typeof name === "string").map((given) => ({
    name: given.name,
    namespace: textOf(given.namespace),
    version: textOf(given.version),
    images: textsOf(given.images),
    objects: numberOf(given.objects),
    size: numberOf(given.size),
    earlier: textsOf(given.earlier),
    handedOver: given.handedOver === true,
    removing: given.removing === true,
    error: textOf(given.error),
  }));
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

/** @returns the document; `undefined` if the agent does not have the path */
async function getFrom(node: BoundNode, path: string): Promise<unknown> {
  const { status, bytes, location } = await requestNode(node, { method: "GET", path, timeout: ASK_MILLISECONDS });
  if (status === 404) return undefined;
  if (status !== 200) throw errorOfAnswer(status, bytes, location);
  return parseAnswer(bytes);
}
