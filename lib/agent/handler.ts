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
      const by = { token: caller?.token, address: remoteAddress };
      const answering = answer(route, request, { options, uploads, shared, isRead, by });
      const response = await (isRead ? answering.finally(options.checkPlace) : answering);
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

interface AnswerContext {
  readonly options: AgentOptions;
  readonly uploads: BlobUploads;
  readonly shared: CoalescedResponses;
  /** False for a request that changes something. */
  readonly isRead: boolean;
  /** Who sent the request, for the audit log. */
  readonly by: AuditActor;
}

async function answer(
  route: AgentRoute,
  request: Request,
  { options, uploads, shared, isRead, by }: AnswerContext,
): Promise<Response> {
  const { node, records } = options;
  await records.refresh();
  switch (route.kind) {
    case "packages": {
      if (!isRead) return await putPackage(request, options, by);
      const headers = { "x-node-agent": describeNode(node) };
      // A search for agents needs only the header, and must also find an agent that cannot read one of its records.
      return request.method === "HEAD"
        ? answerJson([], headers)
        : await shared.answer("packages", async () => describePackages(await records.scan()), headers);
    }
    case "package":
      return await shared.answer(`package ${route.namespace ?? ""}/${route.name}`, async () => {
        return describePackage(await findPackage(records, route));
      });
    case "manifests":
      return answerManifests(await findPackage(records, route), request.headers);
    case "receipt":
      return answerJson(await readReceipt(await findPackage(records, route), records));
    case "blob":
      return await (isRead ? uploads.getState(route.digest) : uploads.put(route.digest, request));
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
      return await postPlan(request, options, by);
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
