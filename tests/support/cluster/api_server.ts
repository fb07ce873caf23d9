// @ts-types="../../../lib/std/yaml.d.ts"
import { parse } from "@std/yaml";
import { isJsonObject } from "../../../lib/oci/json.ts";
import {
  API_RESOURCES,
  type ApiResource,
  describeGroups,
  describeGroupVersion,
  describeOpenApi,
  groupVersionOf,
  listOpenApi,
} from "./api_resources.ts";
import { type Json, ManagedObject } from "./managed_object.ts";

/** A request that the server has answered. */
export interface ApiRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly body: Json | undefined;
}

/** An answer that a test puts in the place of the server's. */
export interface ApiFault {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
}

interface Target {
  readonly resource: ApiResource;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

/**
 * An API server of Kubernetes as kubectl sees it, in memory: discovery, server-side apply with field managers and
 * conflicts, get, list, delete (a Namespace with what is in it; an object with finalizers stays), and kinds that
 * CustomResourceDefinitions add. It records what it is asked.
 */
export class ApiServer implements AsyncDisposable {
  readonly requests: ApiRequest[] = [];
  /** Asked before each request; what it returns is answered instead. */
  fault: (request: ApiRequest) => ApiFault | undefined = () => undefined;
  readonly #objects = new Map<string, ManagedObject>();
  #made = 0;
  readonly #watches = new Set<ReadableStreamDefaultController<Uint8Array>>();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #tls: { readonly cert: string; readonly key: string } | undefined;
  #version = 0;

  /** @param tls serves https with this certificate */
  constructor(tls?: { readonly cert: string; readonly key: string }) {
    this.#tls = tls;
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {}, ...tls },
      (request) => this.#answer(request),
    );
    for (const name of ["default", "kube-system"]) {
      this.put({ apiVersion: "v1", kind: "Namespace", metadata: { name } }, "kube-apiserver");
    }
  }

  get url(): string {
    return `http${this.#tls === undefined ? "" : "s"}://127.0.0.1:${this.#server.addr.port}`;
  }

  /** A kubeconfig that names this server, and the namespace that its context has. */
  kubeconfig(namespace = "default"): string {
    return JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster: { server: this.url } }],
      users: [{ name: "test", user: { token: "test" } }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test", namespace } }],
      "current-context": "test",
    });
  }

  /** All objects, as `Kind/namespace/name` (without a namespace where they have none), sorted. */
  list(): string[] {
    return [...this.#objects.keys()].map((key) => key.split(" ").slice(1).join("/").replace("//", "/")).sort();
  }

  /** An object by `Kind/namespace/name`. */
  get(label: string): Json | undefined {
    return this.#find(label)?.object;
  }

  /** Managers of a field, such as `.data.a`. */
  managersOf(label: string, field: string): string[] {
    return this.#find(label)?.managersOf(field) ?? [];
  }

  /** Applies an object as another program than crpe does; conflicts are forced. */
  put(object: Json, manager: string): void {
    this.#apply(this.#targetOf(object), object, { manager, isForced: true });
  }

  /** Deletes an object as another program does. */
  delete(label: string): void {
    for (const key of [...this.#objects.keys()]) {
      if (labelOf(key) !== label) continue;
      this.#objects.delete(key);
      const [, kind, , name] = key.split(" ");
      if (kind === "Namespace") this.#deleteNamespace(name!);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const controller of this.#watches) {
      try {
        controller.close();
      } catch {
        // Its client has gone.
      }
    }
    await this.#server.shutdown();
  }

  #find(label: string): ManagedObject | undefined {
    return [...this.#objects].find(([key]) => labelOf(key) === label)?.[1];
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const text = await request.text();
    const parsed = text === "" ? undefined : parse(text);
    const record = {
      method: request.method,
      path: url.pathname + url.search,
      body: isJsonObject(parsed) ? parsed : undefined,
    };
    this.requests.push(record);
    const fault = this.fault(record);
    if (fault !== undefined) return failure(fault);
    const discovered = this.#discover(url.pathname);
    if (discovered !== undefined) return Response.json(discovered);
    if (url.pathname === "/openapi/v2") return EMPTY_OPENAPI.clone();
    const target = this.#parsePath(url.pathname);
    if (target === undefined) {
      return failure({ code: 404, reason: "NotFound", message: "the server could not find the requested resource" });
    }
    switch (request.method) {
      case "GET":
        return this.#read(target, url.searchParams, request.headers.get("accept") ?? "");
      case "DELETE":
        return this.#remove(target);
      case "PUT":
        return this.#replace(target, record.body ?? {});
      case "POST":
        if (this.#objects.has(keyOf(target.resource, target.namespace, nameIn(record.body)))) {
          const message = `${target.resource.plural} ${JSON.stringify(nameIn(record.body))} already exists`;
          return failure({ code: 409, reason: "AlreadyExists", message });
        }
        return this.#write(target, record.body ?? {}, url.searchParams);
      case "PATCH":
        return this.#write(target, record.body ?? {}, url.searchParams);
      default:
        return failure({ code: 405, reason: "MethodNotAllowed", message: "the method is not allowed" });
    }
  }

  #resources(): ApiResource[] {
    const added = [...this.#objects].filter(([key]) => key.includes(" CustomResourceDefinition ")).flatMap(([, it]) => {
      const { group, names, scope, versions } = it.object.spec as {
        group: string;
        names: { kind: string; plural: string };
        scope: string;
        versions: { name: string }[];
      };
      return (versions.length === 0 ? [{ name: "v1" }] : versions)
        .map(({ name: version }) => ({ group, version, ...names, isNamespaced: scope === "Namespaced" }));
    });
    return [...API_RESOURCES, ...added];
  }

  #discover(path: string): unknown {
    if (path === "/version") return { major: "1", minor: "37", gitVersion: "v1.37.1" };
    if (path === "/api") return { kind: "APIVersions", versions: ["v1"] };
    if (path === "/apis") return describeGroups(this.#resources());
    if (path === "/openapi/v3") return listOpenApi(this.#resources());
    const documented = /^\/openapi\/v3\/apis?\/(.+)$/.exec(path)?.[1];
    if (documented !== undefined) return describeOpenApi(this.#resources(), documented);
    const match = /^\/(?:api\/(v1)|apis\/([^/]+\/[^/]+))$/.exec(path);
    return match === null ? undefined : describeGroupVersion(this.#resources(), match[1] ?? match[2]!);
  }

  #parsePath(path: string): Target | undefined {
    const match =
      /^\/(?:api|apis\/(?<group>[^/]+))\/(?<version>[^/]+)\/(?:namespaces\/(?<namespace>[^/]+)\/(?=[^/]))?(?<plural>[^/]+)(?:\/(?<name>[^/]+))?$/
        .exec(path);
    if (match === null) return undefined;
    const { group = "", version, namespace, plural, name } = match.groups as Record<string, string | undefined>;
    const resource = this.#resources().find((it) =>
      it.group === group && it.version === version && it.plural === plural
    );
    return resource && { resource, namespace, name: name === undefined ? undefined : decodeURIComponent(name) };
  }

  #targetOf(object: Json): Target {
    const { name, namespace = "default" } = object.metadata as { name: string; namespace?: string };
    const resource = this.#resources().find((it) =>
      groupVersionOf(it) === object.apiVersion && it.kind === object.kind
    );
    if (resource === undefined) {
      throw new Error(`Cannot apply ${object.kind}: the test's server does not have this kind`);
    }
    return { resource, name, namespace: resource.isNamespaced ? namespace : undefined };
  }

  #read({ resource, namespace, name }: Target, query: URLSearchParams, accept: string): Response {
    if (name !== undefined) {
      const found = this.#objects.get(keyOf(resource, namespace, name));
      return found === undefined ? notFound(resource, name) : Response.json(found.object);
    }
    const selected = query.get("fieldSelector")?.split(",").map((term) => term.split(/==?/) as [string, string]) ?? [];
    const labels = query.get("labelSelector")?.split(",").map((term) => term.split("=") as [string, string]) ?? [];
    const items = [...this.#objects].filter(([key, { object }]) => {
      const [group, kind, inNamespace] = key.split(" ");
      return group === resource.group && kind === resource.kind &&
        (namespace === undefined || inNamespace === namespace) &&
        labels.every(([label, value]) => ((object.metadata as Json).labels as Json | undefined)?.[label] === value) &&
        selected.every(([field, value]) =>
          String(field.split(".").reduce<unknown>((at, step) => (at as Json)?.[step], object)) === value
        );
    }).map(([, { object }]) => object);
    if (query.get("watch") === "true") return this.#watch(resource, items, query.has("sendInitialEvents"));
    const metadata = { resourceVersion: String(this.#version) };
    if (accept.includes("as=PartialObjectMetadataList")) {
      const kind = "PartialObjectMetadata";
      const partial = items.map(({ metadata }) => ({ kind, apiVersion: "meta.k8s.io/v1", metadata }));
      return Response.json({ kind: `${kind}List`, apiVersion: "meta.k8s.io/v1", metadata, items: partial });
    }
    return Response.json({ kind: `${resource.kind}List`, apiVersion: groupVersionOf(resource), metadata, items });
  }

  // What is there, as events; nothing follows. Clients of today ask for that in the place of a list.
  #watch(resource: ApiResource, items: readonly Json[], isInitial: boolean): Response {
    const annotations = { "k8s.io/initial-events-end": "true" };
    const metadata = { resourceVersion: "1", annotations };
    const end = { type: "BOOKMARK", object: { kind: resource.kind, apiVersion: groupVersionOf(resource), metadata } };
    const events = isInitial ? [...items.map((object) => ({ type: "ADDED", object })), end] : [];
    const encoder = new TextEncoder();
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        for (const event of events) controller.enqueue(encoder.encode(`${JSON.stringify(event)}\n`));
        this.#watches.add(controller);
      },
    });
    return new Response(body, { headers: { "content-type": "application/json" } });
  }

  #remove({ resource, namespace, name = "" }: Target): Response {
    const found = this.#objects.get(keyOf(resource, namespace, name));
    if (found === undefined) return notFound(resource, name);
    const metadata = found.object.metadata as Json;
    if (Array.isArray(metadata.finalizers) && metadata.finalizers.length > 0) {
      metadata.deletionTimestamp = new Date().toISOString();
      return Response.json(found.object);
    }
    this.#objects.delete(keyOf(resource, namespace, name));
    if (resource.kind === "Namespace") this.#deleteNamespace(name);
    return Response.json({
      kind: "Status",
      apiVersion: "v1",
      status: "Success",
      details: { name, kind: resource.plural },
    });
  }

  #deleteNamespace(name: string): void {
    for (const key of [...this.#objects.keys()]) if (key.split(" ")[2] === name) this.#objects.delete(key);
  }

  // Replaces the version that the client has read, if it names one.
  #replace({ resource, namespace, name = "" }: Target, body: Json): Response {
    const live = this.#objects.get(keyOf(resource, namespace, name));
    if (live === undefined) return notFound(resource, name);
    const { resourceVersion } = body.metadata as Json;
    const { resourceVersion: now, uid } = live.object.metadata as Json;
    if (resourceVersion !== undefined && resourceVersion !== now) {
      const message = `Operation cannot be fulfilled on ${resource.plural} ${
        JSON.stringify(name)
      }: the object has been modified; please apply your changes to the latest version and try again`;
      return failure({ code: 409, reason: "Conflict", message });
    }
    const next = new ManagedObject({});
    next.apply(body, "update");
    next.object.metadata = { ...next.object.metadata as Json, uid, resourceVersion: String(++this.#version) };
    this.#objects.set(keyOf(resource, namespace, name), next);
    return Response.json(next.object);
  }

  #write(target: Target, body: Json, query: URLSearchParams): Response {
    const { resource, namespace } = target;
    if (namespace !== undefined && !this.#objects.has(` Namespace  ${namespace}`)) {
      return failure({ code: 404, reason: "NotFound", message: `namespaces ${JSON.stringify(namespace)} not found` });
    }
    const name = target.name ?? nameIn(body);
    const live = this.#objects.get(keyOf(resource, namespace, name));
    const manager = query.get("fieldManager") ?? "unknown";
    const isForced = query.get("force") === "true";
    const conflicts = isForced || live === undefined ? [] : live.findConflicts(body, manager);
    if (conflicts.length > 0) {
      const causes = conflicts.map(({ manager, field }) => {
        const message = `conflict with ${JSON.stringify(manager)} using ${groupVersionOf(resource)}`;
        return { reason: "FieldManagerConflict", message, field };
      });
      const message = `Apply failed with ${conflicts.length} conflict${conflicts.length === 1 ? "" : "s"}: ${
        causes.map(({ message, field }) => `${message}: ${field}`).join(", ")
      }`;
      return failure({ code: 409, reason: "Conflict", message }, { causes });
    }
    if (query.has("dryRun")) {
      const copy = new ManagedObject(structuredClone(live?.object ?? {}));
      copy.apply(body, manager);
      return Response.json(copy.object);
    }
    return Response.json(this.#apply({ ...target, name }, body, { manager, isForced }));
  }

  #apply(
    { resource, namespace, name = "" }: Target,
    body: Json,
    { manager }: { manager: string; isForced: boolean },
  ): Json {
    const key = keyOf(resource, namespace, name);
    const live = this.#objects.get(key) ?? new ManagedObject({});
    live.apply(body, manager);
    const object = live.object as { metadata: Json; status?: unknown };
    const resourceVersion = String(++this.#version);
    object.metadata = { uid: `uid-${this.#made++}`, ...object.metadata, resourceVersion };
    if (namespace !== undefined) object.metadata.namespace = namespace;
    if (resource.kind === "CustomResourceDefinition") {
      object.status = { conditions: [{ type: "Established", status: "True" }] };
    }
    this.#objects.set(key, live);
    return live.object;
  }
}

// What kubectl reads about kinds that the other documents do not have: an empty message of protocol buffers.
const EMPTY_OPENAPI = new Response(new Uint8Array(), {
  headers: { "content-type": "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" },
});

function keyOf({ group, kind }: ApiResource, namespace: string | undefined, name: string): string {
  return [group, kind, namespace ?? "", name].join(" ");
}

function nameIn(body: Json | undefined): string {
  return String((body?.metadata as Json | undefined)?.name);
}

function labelOf(key: string): string {
  return key.split(" ").slice(1).filter((part) => part !== "").join("/");
}

function notFound({ group, plural }: ApiResource, name: string): Response {
  return failure({
    code: 404,
    reason: "NotFound",
    message: `${plural}${group === "" ? "" : `.${group}`} ${JSON.stringify(name)} not found`,
  });
}

function failure({ code, reason, message }: ApiFault, details: Json = {}): Response {
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, details, code };
  return Response.json(status, { status: code });
}
