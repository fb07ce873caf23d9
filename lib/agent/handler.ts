import { modelNames } from "../delta/models/all.ts";
import { RegistryError } from "../oci/error.ts";
import { answerError, answerJson, toApiError } from "./answer.ts";
import { hasToken } from "./api_token.ts";
import { BlobUploads } from "./blob_uploads.ts";
import { checkHost, checkOrigin } from "./check_request.ts";
import { CoalescedResponses } from "./coalesced_responses.ts";
import { answerManifests, describePackage, describePackages, findPackage, readReceipt } from "./installed_packages.ts";
import type { AgentOptions } from "./options.ts";
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
): (request: Request, localAddress?: string) => Promise<Response> {
  const uploads = new BlobUploads(options);
  const shared = new CoalescedResponses();
  return async (request, localAddress) => {
    try {
      const url = new URL(request.url);
      checkHost(request.headers, url, (hostname) => options.isOwnHost(hostname, localAddress));
      checkOrigin(request.headers, url);
      const route = matchAgentRoute(request.method, url);
      const isRead = request.method === "GET" || request.method === "HEAD";
      // Manifests may hold Secrets.
      if (!isRead || route.kind === "manifests") checkToken(request.headers, options.token, isRead ? "show" : "import");
      const response = await (isRead
        ? answerRead(route, request, { options, uploads, shared })
        : answerWrite(route, request, { options, uploads }));
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

function checkToken(headers: Headers, token: string | undefined, verb: "import" | "show"): void {
  const what = verb === "import" ? "Cannot import" : "Cannot show manifests";
  if (token === undefined) {
    throw new RegistryError("UNAVAILABLE", `${what}: the agent's data folder is not writable, so it has no token`);
  }
  if (hasToken(headers, token)) return;
  throw new RegistryError(
    "UNAUTHORIZED",
    headers.has("authorization")
      ? `${what}: the token is not the agent's`
      : `${what}: the agent's token is required, as Authorization: Bearer TOKEN`,
  );
}

async function answerRead(
  route: AgentRoute,
  { method, headers: asked }: Request,
  { options, uploads, shared }: { options: AgentOptions; uploads: BlobUploads; shared: CoalescedResponses },
): Promise<Response> {
  const { node: { id, platforms }, records } = options;
  switch (route.kind) {
    case "packages": {
      const headers = { "x-node-agent": `${id}; platforms=${platforms.join(",")}` };
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
        async () => ({ digests: await options.listInventory(), models: modelNames() }),
      );
    case "plan":
      throw new Error("Cannot happen: a plan is only sent with POST");
  }
}

async function answerWrite(
  route: AgentRoute,
  request: Request,
  { options, uploads }: { options: AgentOptions; uploads: BlobUploads },
): Promise<Response> {
  switch (route.kind) {
    case "packages":
      return await putPackage(request, options);
    case "plan":
      return await postPlan(request, options);
    case "blob":
      return await uploads.put(route.digest, request);
    default:
      throw new Error(`Cannot happen: ${route.kind} is read-only`);
  }
}
