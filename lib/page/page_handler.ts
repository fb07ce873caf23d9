import { answerError, toApiError } from "../agent/answer.ts";
import { checkHost, checkOrigin } from "../agent/check_request.ts";
import { allow, READ } from "../agent/route.ts";
import { checkSite } from "./page_access.ts";
import { PageApi } from "./page_api.ts";
import type { PageAssets } from "./page_assets.ts";
import type { PageConnection, PageOptions } from "./page_options.ts";
import { API } from "./page_route.ts";

// Of answers that are no page: a browser must not take one for another type, nor run anything in it.
const SECURITY_HEADERS = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
};

/**
 * Creates the handler of the page: its files at `/` and `/page/…`, and its API at `/api/…`. It never throws; errors have
 * the same form as those of the registry.
 */
export function createPageHandler(
  options: PageOptions,
  assets: PageAssets,
): (request: Request, connection: PageConnection) => Promise<Response> {
  const api = new PageApi(options);
  return async (request, connection) => {
    // Read now, because the runtime discards a request once it is answered.
    const { method } = request;
    try {
      const url = new URL(request.url);
      const isApi = url.pathname.startsWith(API);
      checkHost(request.headers, url, (hostname) => options.isOwnHost(hostname, connection.localAddress));
      checkOrigin(request.headers, url);
      // A link on another page may open this one.
      if (isApi) checkSite(request);
      const response = isApi ? await api.answer({ request, url, connection }) : await answerAsset(request, url, assets);
      if (method !== "HEAD") return secure(response);
      await response.body?.cancel();
      return secure(new Response(null, response));
    } catch (error) {
      const known = toApiError(error, options.describeError);
      if (known.code === "INTERNAL") options.onError(error, request);
      const response = answerError(known);
      return secure(method === "HEAD" ? new Response(null, response) : response);
    }
  };
}

function secure(response: Response): Response {
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
    if (!response.headers.has(name)) response.headers.set(name, value);
  }
  return response;
}

async function answerAsset({ method, headers }: Request, { pathname }: URL, assets: PageAssets): Promise<Response> {
  return await allow(method, READ, assets).answer(pathname, headers);
}
