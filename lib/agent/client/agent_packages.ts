import { isPackageId, type PackageId } from "../../kubepkg/package_id.ts";
import { isJsonObject, textOf } from "../../oci/json.ts";
import { AgentError, errorOfAnswer, notAnAgent } from "./agent_error.ts";
import { type AgentConnection, parseAnswer, requestAgent } from "./request_agent.ts";

/** A package as an agent lists it: a KubePkg without manifests. */
export interface ListedPackage extends PackageId {
  /** Absent if the agent cannot read the record. */
  readonly version: string | undefined;
  /** The number of images. */
  readonly images: number | undefined;
}

/** The installed packages of an agent. */
interface PackageList {
  readonly packages: readonly ListedPackage[];
  /** The document that the agent has sent. */
  readonly document: unknown;
}

type Document = Readonly<Record<string, unknown>>;

const READ_MILLISECONDS = 30_000;
/** How long an answer to a change is waited for: the agent may have to wait for the cluster. */
export const CHANGE_MILLISECONDS = 600_000;

/**
 * The packages that are installed on an agent.
 *
 * Each method throws an `AgentError` when the agent cannot be reached or gives an unexpected response, and the same error
 * as on this machine for what the agent refuses.
 */
export class AgentPackages {
  readonly #agent: AgentConnection;

  constructor(agent: AgentConnection) {
    this.#agent = agent;
  }

  /** Lists the packages. It needs no token. */
  async list(): Promise<PackageList> {
    const document = await this.#send("GET", "/kubepkgs");
    if (!Array.isArray(document)) throw notAnAgent("an unknown list");
    return { document, packages: document.map(parseListed) };
  }

  /** Reads the receipt of the last import or rollback. It needs no token. */
  async readReceipt(id: PackageId): Promise<Document> {
    return asDocument(await this.#send("GET", `/kubepkgs/${targetOf(id, "/receipt")}`));
  }

  /** Lists the kept versions, the installed one first. */
  async listVersions({ namespace, name }: PackageId): Promise<readonly string[]> {
    const { packages } = asDocument(await this.#send("GET", "/api/packages"));
    const found = Array.isArray(packages)
      ? packages.filter(isJsonObject).find((one) => one.name === name && one.namespace === namespace)
      : undefined;
    const versions = [found?.version, ...Array.isArray(found?.earlier) ? found.earlier : []];
    if (!versions.every((version) => typeof version === "string")) throw notAnAgent("an unknown history");
    return versions;
  }

  /** Reads what the cluster has of a package, as `crpe packages status` shows it. */
  async readStatus(id: PackageId): Promise<Document> {
    return asDocument(await this.#send("GET", `/api/packages/${targetOf(id, "/status")}`));
  }

  /** Rolls a package back. @param to the version; `undefined` for the previous one */
  async rollBack(id: PackageId, to: string | undefined): Promise<Document> {
    const version = to === undefined ? "" : `&to=${encodeURIComponent(to)}`;
    return asDocument(await this.#send("POST", `/api/packages/${targetOf(id, "/rollback")}${version}`));
  }

  /** Removes a package. @param options.dryRun only says what would happen */
  async remove(id: PackageId, { dryRun }: { dryRun: boolean }): Promise<Document> {
    return asDocument(await this.#send("DELETE", `/api/packages/${targetOf(id)}${dryRun ? "&dry-run=true" : ""}`));
  }

  async #send(method: string, path: string): Promise<unknown> {
    const timeout = method === "GET" ? READ_MILLISECONDS : CHANGE_MILLISECONDS;
    const { status, bytes, location } = await requestAgent(this.#agent, { method, path, timeout });
    if (status === 200) return parseAnswer(bytes);
    // The package was found in the list before.
    if (path.startsWith("/api/") && (status === 404 || status === 405)) {
      throw new AgentError("it was started with --no-page, or is an earlier crpe: it cannot do this", {
        status,
        isTransient: false,
      });
    }
    throw errorOfAnswer(status, bytes, location);
  }
}

function targetOf({ namespace, name }: PackageId, action = ""): string {
  return `${encodeURIComponent(name)}${action}?namespace=${encodeURIComponent(namespace)}`;
}

function asDocument(value: unknown): Document {
  if (isJsonObject(value)) return value;
  throw notAnAgent("something unknown");
}

function parseListed(value: unknown): ListedPackage {
  const { metadata, spec } = asDocument(value);
  const { name, namespace } = asDocument(metadata);
  if (typeof name !== "string" || typeof namespace !== "string" || !isPackageId({ namespace, name })) {
    throw notAnAgent("an unknown list");
  }
  const { version, images } = isJsonObject(spec) ? spec : {};
  return {
    name,
    namespace,
    version: textOf(version),
    images: isJsonObject(images) ? Object.keys(images).length : undefined,
  };
}
