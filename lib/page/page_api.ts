import { answerJson } from "../agent/answer.ts";
import type { Caller } from "../agent/check_token.ts";
import { CoalescedResponses } from "../agent/coalesced_responses.ts";
import type { Scope } from "../agent/named_tokens.ts";
import { checkParameters, readBody, readSwitch } from "../agent/request_body.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { checkRelease, startPacks } from "./desk_api.ts";
import { removeImage, startPull } from "./images_api.ts";
import { removeInventory, saveInventory } from "./inventories_api.ts";
import { answerNodes, scopeOfNode } from "./nodes_api.ts";
import { answerBundle, createLink, isLinked, removeBundle } from "./outbox_api.ts";
import { checkReader, isLocal } from "./page_access.ts";
import { PageJobs } from "./page_jobs.ts";
import type { PackageChange, PageActions, PageConnection, PageOptions, PageSource } from "./page_options.ts";
import { matchApiRoute } from "./page_route.ts";
import { answerRegistry } from "./registries_api.ts";

const BODY_LIMITS = { limit: 4096, stallTimeout: 10_000 };

// What a server cannot do, and which one can.
const MISSING = {
  desk: ["pack", "only crpe registry does,"],
  nodes: ["send", "only crpe registry does,"],
  readInventoryCode: ["show the inventory", "only crpe agent does,"],
  images: ["change images", "crpe does only"],
  registries: ["change registries", "crpe does only"],
} as const;

// What would bring content without a signature.
const UNSIGNED = { images: "pull images", registries: "change registries" } as const;

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
  readonly #jobs: PageJobs;

  constructor(options: PageOptions) {
    this.#options = options;
    this.#jobs = new PageJobs(options.describeError);
  }

  /** @throws {RegistryError} for a request that is refused, and as the functions of `PageSource` do */
  async answer(asked: ApiRequest): Promise<Response> {
    const { source } = this.#options;
    const route = matchApiRoute(asked.request.method, asked.url);
    switch (route.kind) {
      case "access":
        return this.#describeAccess(asked);
      case "status":
        return await this.#read(asked, route.kind, source.readStatus);
      case "images":
        return await this.#read(asked, route.kind, source.listImages);
      case "packages":
        return await this.#read(asked, route.kind, source.listPackages);
      case "doctor":
        return await this.#examine(asked);
      case "outbox":
        return await this.#read(asked, route.kind, source.outbox.list);
      case "bundle":
        return await this.#sendBundle(asked, route.digest);
      case "bundle-link":
        return await this.#createLink(asked, route.digest);
      case "bundle-removal":
        await this.#check(asked, "admin");
        return await removeBundle(route.digest, source.outbox);
      case "partials-removal":
        await this.#check(asked, "admin");
        return answerJson(await source.outbox.removePartials());
      case "jobs":
        await checkReader(asked.request, { ...asked, options: this.#options });
        return answerJson({ jobs: this.#jobs.list() });
      case "job-end":
        await this.#check(asked, "import");
        return answerJson(this.#jobs.stop(route.id));
      case "release-check":
        return await checkRelease(asked.request, await this.#open("desk", asked, "import"));
      case "packs":
        return await startPacks(asked.request, asked.url, {
          desk: await this.#open("desk", asked, "import"),
          jobs: this.#jobs,
        });
      case "image-pull":
        return startPull(asked.url, {
          images: await this.#openUnsigned("images", asked, "import"),
          jobs: this.#jobs,
        });
      case "image-removal":
        return await this.#removeImage(asked);
      case "inventory": {
        const read = this.#need("readInventoryCode");
        return await this.#read(asked, route.kind, async () => ({ code: await read() }));
      }
      case "inventories":
        return await this.#read(asked, route.kind, this.#need("desk").inventories.list);
      case "site-save":
        return await saveInventory(
          asked.request,
          route.name,
          (await this.#open("desk", asked, "import")).inventories,
        );
      case "site-removal":
        return await removeInventory(route.name, (await this.#open("desk", asked, "admin")).inventories);
      case "registries":
        return await this.#read(asked, route.kind, this.#need("registries").list);
      case "registry-save":
      case "registry-removal":
        return await this.#changeRegistry({ ...route, kind: route.kind }, asked);
      case "registry-test":
        return await answerRegistry(route, asked.request, await this.#open("registries", asked, "admin"));
      case "nodes":
        return await this.#read(asked, route.kind, source.nodes?.list ?? (() => Promise.resolve({ nodes: [] })));
      case "node-plan":
      case "node-send":
      case "node-addition":
      case "node-search":
      case "node-removal":
      case "node-rollback":
      case "node-package-removal":
        return await answerNodes(route, asked, {
          nodes: await this.#open("nodes", asked, scopeOfNode(route, asked.url)),
          jobs: this.#jobs,
        });
      case "session":
        return await this.#openSession(asked);
      case "codes":
        return await this.#createCode(asked);
      case "package-status": {
        await checkReader(asked.request, { ...asked, options: this.#options });
        const namespace = asked.url.searchParams.get("namespace") ?? undefined;
        return answerJson(await this.#openActions().readStatus({ name: route.name, namespace }));
      }
      case "rollback":
      case "remove":
        return await this.#change(asked, route);
    }
  }

  async #read(asked: ApiRequest, key: string, find: () => Promise<unknown>): Promise<Response> {
    await checkReader(asked.request, { ...asked, options: this.#options });
    return await this.#shared.answer(key, find);
  }

  /** `GET /api/doctor` examines this machine; `GET /api/doctor?image=NAME` traces an image. */
  async #examine(asked: ApiRequest): Promise<Response> {
    const image = asked.url.searchParams.get("image")?.trim() || undefined;
    return await this.#read(asked, `doctor ${image ?? ""}`, () => this.#options.source.examine(image));
  }

  async #check({ request }: ApiRequest, scope: Scope): Promise<Caller> {
    return await this.#options.tokens.check(request.headers, { scope, action: "answer" });
  }

  async #removeImage(asked: ApiRequest): Promise<Response> {
    const caller = await this.#check(asked, "admin");
    const images = this.#need("images");
    const entry = { action: "image-removal", image: asked.url.searchParams.get("image"), caller };
    return await this.#log(asked, entry, () => removeImage(asked.url, images));
  }

  async #changeRegistry(
    route: { kind: "registry-save" | "registry-removal"; host: string },
    asked: ApiRequest,
  ): Promise<Response> {
    const caller = await this.#check(asked, "admin");
    const registries = await this.#openUnsigned("registries", asked, "admin");
    const entry = { action: route.kind, host: route.host, caller };
    return await this.#log(asked, entry, () => answerRegistry(route, asked.request, registries));
  }

  /** Does something that the audit log has to name. */
  async #log<T>(
    { connection }: ApiRequest,
    { caller, ...entry }: { action: string; caller?: Caller; [detail: string]: unknown },
    work: () => Promise<T>,
  ): Promise<T> {
    const { audit } = this.#options;
    const address = connection.remoteAddress.replace(/^::ffff:/, "");
    const by = { token: caller?.token, address };
    if (audit === undefined) return await work();
    return await audit.run({ ...entry, by }, work, { isFreeing: /removal/.test(entry.action) });
  }

  /** Returns a group of functions that make changes. @throws {RegistryError} as `ApiTokens.check` and `#need` do */
  async #open<K extends keyof typeof MISSING>(
    name: K,
    asked: ApiRequest,
    scope: Scope,
  ): Promise<NonNullable<PageSource[K]>> {
    await this.#check(asked, scope);
    return this.#need(name);
  }

  /** As `#open`. @throws {RegistryError} also `DENIED`, where packages must be signed */
  async #openUnsigned<K extends keyof typeof UNSIGNED>(
    name: K,
    asked: ApiRequest,
    scope: Scope,
  ): Promise<NonNullable<PageSource[K]>> {
    const opened = await this.#open(name, asked, scope);
    if (!this.#options.acceptsOnlySigned) return opened;
    throw new RegistryError("DENIED", cannot(UNSIGNED[name], "this machine accepts only signed packages"));
  }

  /** @throws {RegistryError} `NOT_FOUND` when the server does not have these functions */
  #need<K extends keyof typeof MISSING>(name: K): NonNullable<PageSource[K]> {
    const found = this.#options.source[name];
    if (found !== undefined) return found;
    const [action, reason] = MISSING[name];
    throw new RegistryError("NOT_FOUND", cannot(action, `${reason} with a data folder that is writable`));
  }

  async #sendBundle(asked: ApiRequest, digest: Digest): Promise<Response> {
    // Manifests may hold Secrets, so that a client on this machine needs the token too.
    if (!isLinked(asked.url, digest, Date.now())) await this.#check(asked, "read");
    return await answerBundle(asked.request, digest, this.#options.source.outbox);
  }

  /** `POST /api/outbox/DIGEST/link` makes a link for a download by a browser. */
  async #createLink(asked: ApiRequest, digest: Digest): Promise<Response> {
    await this.#check(asked, "read");
    const { url, expires } = createLink(digest, Date.now());
    return answerJson({ url, expires: new Date(expires).toISOString() }, {}, 201);
  }

  // Open to everybody: the page asks it first, to know whether it has to ask for the token.
  #describeAccess({ request, url, connection }: ApiRequest): Response {
    const { tokens, isPrivate, acceptsOnlySigned, source } = this.#options;
    const canRead = !isPrivate && isLocal(request, url, connection);
    return answerJson({
      reading: canRead ? "open" : "token",
      changes: tokens.first === undefined ? "off" : "token",
      installs: source.actions !== undefined,
      packs: source.desk !== undefined,
      onlySigned: acceptsOnlySigned,
    });
  }

  /** `POST /api/session` with `{"code":"…"}` exchanges a one-time code for the token. */
  async #openSession(asked: ApiRequest): Promise<Response> {
    const { tokens: { first: token }, codes } = this.#options;
    if (token === undefined) {
      throw new RegistryError(
        "UNAVAILABLE",
        cannot("sign in", "the data folder is not writable, so there is no token"),
      );
    }
    const document = parseJson(await readBody(asked.request, BODY_LIMITS), "the request");
    const code = isJsonObject(document) ? document.code : undefined;
    if (typeof code !== "string") throw new RegistryError("INVALID", cannot("sign in", 'send {"code":"CODE"}'));
    const outcome = await codes.redeem(code);
    if (outcome === "accepted") {
      return await this.#log(asked, { action: "pairing" }, () => Promise.resolve(answerJson({ token })));
    }
    const reason = outcome === "expired" ? "the code has expired" : "the code is wrong or was used already";
    throw new RegistryError("UNAUTHORIZED", cannot("sign in", reason, "make a new one with crpe agent --pair"));
  }

  /** `POST /api/codes` makes a one-time code, for the QR code on the page. */
  async #createCode(asked: ApiRequest): Promise<Response> {
    // A code is exchanged for the first token, which may do everything.
    const caller = await this.#check(asked, "admin");
    const create = () => this.#options.codes.create();
    const { code, expires } = await this.#log(asked, { action: "pairing-code", caller }, create);
    return answerJson({ code, expires: new Date(expires).toISOString() }, {}, 201);
  }

  #openActions(): PageActions {
    if (this.#options.source.actions !== undefined) return this.#options.source.actions;
    throw new RegistryError("UNSUPPORTED", cannot("change packages", "this server does not install them"));
  }

  async #change(asked: ApiRequest, { kind, name }: { kind: "rollback" | "remove"; name: string }) {
    const caller = await this.#check(asked, "admin");
    const actions = this.#openActions();
    const known = kind === "rollback" ? ["namespace", "to", "dry-run"] : ["namespace", "dry-run"];
    const query = checkParameters(asked.url.searchParams, known);
    const [namespace, to] = ["namespace", "to"].map((it) => query.get(it) ?? undefined);
    const change: PackageChange = { name, namespace, to, dryRun: readSwitch(query, "dry-run") };
    const work = () => kind === "remove" ? actions.remove(change) : actions.rollBack(change);
    if (change.dryRun) return answerJson(await work());
    const entry = { action: kind === "remove" ? "removal" : "rollback", name, namespace, to, caller };
    return answerJson(await this.#log(asked, entry, work));
  }
}
