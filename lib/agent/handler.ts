import { modelNames } from "../delta/models/all.ts";
import type { AuditActor } from "../files/audit_log.ts";
import type { PackageRecords } from "../install/package_records.ts";
import { formatPublicKey } from "../signature/keys.ts";
import { answerError, answerJson, toApiError } from "./answer.ts";
import { BlobUploads } from "./blob_uploads.ts";
import { questionOfImport, type TokenQuestion } from "./check_token.ts";
import { checkHost, checkOrigin } from "./check_request.ts";
import { CoalescedResponses } from "./coalesced_responses.ts";
import { answerManifests, describePackage, describePackages, findPackage, readReceipt } from "./installed_packages.ts";
import type { AgentConnection, AgentOptions } from "./options.ts";
import { postPlan } from "./push_plan.ts";
import { putPackage } from "./put_package.ts";
import { type AgentRoute, matchAgentRoute } from "./route.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/**
 * Creates the agent's API (docs/api.md), with the requests of `crpe push`: `POST /kubepkgs/plan`,
 * and `GET` and `PUT /kubepkgs/blobs/DIGEST`. A push sends the plan, then the missing blobs, and then installs them
 * with a `PUT /kubepkgs` of a bundle that contains only `kubepkg.json`.
 *
 * The handler never throws. Errors have the same form as those of the registry.
 */
export function createAgentHandler(
  options: AgentOptions,
): (request: Request, connection?: AgentConnection) => Promise<Response> {
  const uploads = new BlobUploads(options);
  const shared = new CoalescedResponses();
  return async (request, { localAddress, remoteAddress } = {}) => {
    try {
      const url = new URL(request.url);
      checkHost(request.headers, url, (hostname) => options.isOwnHost(hostname, localAddress));
      checkOrigin(request.headers, url);
      const route = matchAgentRoute(request.method, url);
      const isRead = request.method === "GET" || request.method === "HEAD";
      const question = questionOf(route, isRead, url);
      const caller = question && await options.tokens.check(request.headers, question);
      const response = await (isRead || caller === undefined
        ? answerRead(route, request, { options, uploads, shared }).finally(options.checkPlace)
        : answerWrite(route, request, { options, uploads, by: { token: caller.token, address: remoteAddress } }));
      if (request.method !== "HEAD") {
        return response;
      }
      await response.body?.cancel();
      return new Response(null, response);
    } catch (error) {
      const known = toApiError(error, options.describeError);
      if (known.code === "INTERNAL") options.onError(error, request);
      return answerError(known);
    }
  };
}

// Everything that writes needs a token. So do manifests, which may hold Secrets.
function questionOf({ kind }: AgentRoute, isRead: boolean, url: URL): TokenQuestion | undefined {
  if (!isRead) return questionOfImport(url);
  return kind === "manifests" ? { scope: "read", action: "show manifests" } : undefined;
}

async function answerRead(
  route: AgentRoute,
  { method, headers: asked }: Request,
  { options, uploads, shared }: { options: AgentOptions; uploads: BlobUploads; shared: CoalescedResponses },
): Promise<Response> {
  const { node, records } = options;
  await records.refresh();
  switch (route.kind) {
    case "packages": {
      const headers = { "x-node-agent": describeNode(node) };
      // A search for agents needs only the header, and must also find an agent that cannot read one of its records.
      return method === "HEAD"
        ? answerJson([], headers)
        : await shared.answer("packages", async () => describePackages(await records.scan()), headers);
    }
    case "package":
      return await shared.answer(`package ${route.namespace ?? ""}/${route.name}`, async () => {
        return describePackage(await findPackage(records, route));
      });
    case "manifests":
      return answerManifests(await findPackage(records, route), asked);
    case "receipt":
      return answerJson(await readReceipt(await findPackage(records, route), records));
    case "blob":
      return await uploads.getState(route.digest);
    case "inventory":
      return await shared.answer(
        "inventory",
        async () => ({
          digests: await options.listInventory(),
          models: modelNames(),
          publicKey: await readPublicKey(records),
        }),
      );
    case "plan":
      throw new CrpeError(cannot("happen", "a plan is only sent with POST"));
  }
}

async function answerWrite(
  route: AgentRoute,
  request: Request,
  { options, uploads, by }: { options: AgentOptions; uploads: BlobUploads; by: AuditActor },
): Promise<Response> {
  await options.records.refresh();
  switch (route.kind) {
    case "packages":
      return await putPackage(request, options, by);
    case "plan":
      return await postPlan(request, options, by);
    case "blob":
      return await uploads.put(route.digest, request);
    default:
      throw new CrpeError(cannot("happen", `${route.kind} is read-only`));
  }
}

// A list of digests is worth having without it.
async function readPublicKey({ nodeKey }: PackageRecords): Promise<string | undefined> {
  const key = await nodeKey.read().catch(() => undefined);
  return key && formatPublicKey(key.public);
}

function describeNode({ id, platforms, readSecure }: AgentOptions["node"]): string {
  const secure = readSecure?.();
  const tls = secure === undefined ? "" : `; tls=${new URL(secure.url).port}; fingerprint=${secure.fingerprint}`;
  return `${id}; platforms=${platforms.join(",")}${tls}`;
}
