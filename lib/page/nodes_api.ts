import { answerJson } from "../agent/answer.ts";
import { questionOfImport } from "../agent/check_token.ts";
import type { Scope } from "../agent/named_tokens.ts";
import { checkParameters, readBody, readSwitch } from "../agent/request_body.ts";
import { isDigest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import type { PageJobs } from "./page_jobs.ts";
import type { NodeAddition, PageNodes } from "./page_options.ts";
import { API, type NodeRoute } from "./page_route.ts";

// A CA file may have several certificates.
const BODY_LIMITS = { limit: 256 * 1024, stallTimeout: 10_000 };

/** What a token must allow for a request about the agents: sending is importing. */
export function scopeOfNode({ kind }: NodeRoute, url: URL): Scope {
  return kind === "node-plan" || kind === "node-send" ? questionOfImport(url).scope : "admin";
}

/** Answers a request about the agents that bundles are sent to. */
export async function answerNodes(
  route: NodeRoute,
  { request, url }: { request: Request; url: URL },
  { nodes, jobs }: { nodes: PageNodes; jobs: PageJobs },
): Promise<Response> {
  switch (route.kind) {
    case "node-addition":
      return answerJson(await nodes.add(await readAddition(request)), {}, 201);
    case "node-search":
      return answerJson(await nodes.search());
    case "node-removal":
      await nodes.remove(route.node);
      return answerJson({ url: route.node, removed: true });
    case "node-plan":
      return answerJson(await nodes.plan(route.node, readBundle(url), readOptions(url)));
    case "node-send": {
      const [bundle, options] = [readBundle(url), readOptions(url)];
      const job = jobs.start({ kind: "send", title: bundle, node: route.node }, (job) => {
        return nodes.send(route.node, bundle, { ...options, job });
      });
      return answerJson(job, {}, 202);
    }
    case "node-rollback":
    case "node-package-removal": {
      const [method, action] = route.kind === "node-rollback" ? ["POST", "/rollback"] : ["DELETE", ""];
      const path = `${API}packages/${encodeURIComponent(route.name)}${action}${url.search}`;
      const { status, bytes } = await nodes.change(route.node, method!, path);
      if (!isAnswer(status)) {
        throw new RegistryError("BAD_GATEWAY", cannot(`change ${route.node}`, `it answered ${status}`));
      }
      return new Response(bytes, {
        status,
        headers: { "content-type": "application/json", "cache-control": "no-store" },
      });
    }
  }
}

// An agent answers a change with a document. Others, such as 204, have none, and redirects are not followed.
function isAnswer(status: number): boolean {
  return status >= 200 && status < 204 || status >= 400 && status < 600;
}

async function readAddition(request: Request): Promise<NodeAddition> {
  const document = parseJson(await readBody(request, BODY_LIMITS), "the request");
  const { address, token, ca, fingerprint, insecure } = isJsonObject(document) ? document : {};
  const isText = (value: unknown): value is string | undefined => value === undefined || typeof value === "string";
  if (typeof address !== "string" || !isText(token) || !isText(ca) || !isText(fingerprint)) {
    throw new RegistryError("INVALID", cannot("add the agent", 'send {"address":"…","token":"…"}'));
  }
  const word = token?.trim() || undefined;
  // RFC 9110, 5.5: other characters are not allowed in a header.
  if (word !== undefined && !/^[\x21-\x7e]+$/.test(word)) {
    throw new RegistryError("INVALID", cannot("add the agent", "its token is one word of printable ASCII characters"));
  }
  return {
    address,
    token: word,
    ca: ca?.trim() || undefined,
    fingerprint: fingerprint?.trim() || undefined,
    isInsecureAllowed: insecure === true,
  };
}

function readBundle({ searchParams }: URL) {
  const bundle = searchParams.get("bundle") ?? "";
  if (isDigest(bundle)) return bundle;
  throw new RegistryError(
    "DIGEST_INVALID",
    cannot("send the bundle", "name it by its digest, as the parameter bundle"),
  );
}

function readOptions({ searchParams }: URL) {
  checkParameters(searchParams, ["bundle", "force", "prune-data"]);
  return { force: readSwitch(searchParams, "force"), pruneData: readSwitch(searchParams, "prune-data") };
}
