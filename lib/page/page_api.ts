import { answerJson } from "../agent/answer.ts";
import { CoalescedResponses } from "../agent/coalesced_responses.ts";
import { readSwitch, RequestBody } from "../agent/request_body.ts";
import { RegistryError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { checkReader, checkToken, isLocal } from "./page_access.ts";
import type { PackageChange, PageConnection, PageOptions } from "./page_options.ts";
import { API } from "./page_route.ts";

const MAX_BODY_BYTES = 4096;
const BODY_MILLISECONDS = 10_000;
const READ = ["GET", "HEAD"];

/** A request for the API, with its URL. */
interface ApiRequest {
  readonly request: Request;
  readonly url: URL;
  readonly connection: PageConnection;
}

/** The API that only the page needs; `docs/api.md` describes it. */
export class PageApi {
  readonly #options: PageOptions;
  readonly #shared = new CoalescedResponses();

  constructor(options: PageOptions) {
    this.#options = options;
  }

  /** @throws {RegistryError} for a request that is refused, and as the functions of `PageSource` do */
  async answer(asked: ApiRequest): Promise<Response> {
    const { source } = this.#options;
    const [kind = "", name, action, ...more] = asked.url.pathname.slice(API.length).split("/");
    if (more.length > 0) throw notFound();
    if (kind === "packages" && name !== undefined) return await this.#change(asked, { name: decode(name), action });
    if (name !== undefined) throw notFound();
    switch (kind) {
      case "access":
        return this.#describeAccess(asked);
      case "status":
        return await this.#read(asked, kind, source.readStatus);
      case "images":
        return await this.#read(asked, kind, source.listImages);
      case "packages":
        return await this.#read(asked, kind, source.listPackages);
      case "doctor":
        return await this.#read(asked, kind, source.examine);
      case "session":
        return await this.#openSession(asked);
      case "codes":
        return await this.#createCode(asked);
      default:
        throw notFound();
    }
  }

  async #read(asked: ApiRequest, key: string, find: () => Promise<unknown>): Promise<Response> {
    allow(asked.request, READ);
    checkReader(asked.request, { ...asked, options: this.#options });
    return await this.#shared.answer(key, find);
  }

  // Open to everybody: the page asks it first, to know whether it has to ask for the token.
  #describeAccess({ request, url, connection }: ApiRequest): Response {
    allow(request, READ);
    const { token, isPrivate, source } = this.#options;
    const canRead = !isPrivate && isLocal(request, url, connection);
    return answerJson({
      reading: canRead ? "open" : "token",
      changes: token === undefined ? "off" : "token",
      installs: source.actions !== undefined,
    });
  }

  /** `POST /api/session` with `{"code":"…"}` exchanges a one-time code for the token. */
  async #openSession({ request }: ApiRequest): Promise<Response> {
    allow(request, ["POST"]);
    const { token, codes } = this.#options;
    if (token === undefined) checkToken(request, token);
    const body = new RequestBody(request, { limit: MAX_BODY_BYTES, stallTimeout: BODY_MILLISECONDS });
    const bytes = await body.readAll(MAX_BODY_BYTES).finally(() => body.close());
    const document = parseJson(bytes, "the request");
    const code = isJsonObject(document) ? document.code : undefined;
    if (typeof code !== "string") throw new RegistryError("INVALID", 'Cannot sign in: send {"code":"CODE"}');
    const outcome = await codes.redeem(code);
    if (outcome === "accepted") return answerJson({ token });
    throw new RegistryError(
      "UNAUTHORIZED",
      outcome === "expired"
        ? "Cannot sign in: the code has expired; make a new one with crpe agent --pair"
        : "Cannot sign in: the code is wrong or was used already; make a new one with crpe agent --pair",
    );
  }

  /** `POST /api/codes` makes a one-time code, for the QR code on the page. */
  async #createCode({ request }: ApiRequest): Promise<Response> {
    allow(request, ["POST"]);
    checkToken(request, this.#options.token);
    const { code, expires } = await this.#options.codes.create();
    return answerJson({ code, expires: new Date(expires).toISOString() }, {}, 201);
  }

  async #change({ request, url }: ApiRequest, { name, action }: { name: string; action: string | undefined }) {
    if (action !== undefined && action !== "rollback") throw notFound();
    allow(request, action === undefined ? ["DELETE"] : ["POST"]);
    const { token, source: { actions } } = this.#options;
    checkToken(request, token);
    if (actions === undefined) {
      throw new RegistryError("UNSUPPORTED", "Cannot change packages: this server does not install them");
    }
    const { searchParams: query } = url;
    const change: PackageChange = {
      name,
      namespace: query.get("namespace") ?? undefined,
      to: query.get("to") ?? undefined,
      dryRun: readSwitch(query, "dry-run"),
    };
    return answerJson(await (action === undefined ? actions.remove(change) : actions.rollBack(change)));
  }
}

function allow({ method }: Request, methods: readonly string[]): void {
  if (methods.includes(method)) return;
  const allowed = methods.join(", ");
  throw new RegistryError("UNSUPPORTED", `Cannot ${method}: this path supports only ${allowed}`, {
    detail: { allow: allowed },
  });
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw new RegistryError("NAME_INVALID", "Cannot read the path: it is not percent-encoded UTF-8", { cause });
  }
}

function notFound(): RegistryError {
  return new RegistryError("NOT_FOUND", "Cannot find the page: the API has no such path");
}
