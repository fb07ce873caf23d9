import { readBounded } from "../../bytes/read_bounded.ts";
import { unlessCorrupt } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import { type ClusterApi, ClusterUnreachableError, type Secret, type SecretMetadata } from "./cluster_api.ts";
import { formatSecret, parseSecret, parseSecretMetadata } from "./secret_json.ts";

/** How a pod reaches the API server of its cluster. */
interface PodClusterOptions {
  /** The URL of the API server. */
  readonly url: string;
  /** The namespace of the Secrets. */
  readonly namespace: string;
  /** The folder of the pod's service account: `token` and `ca.crt`, which are renewed. */
  readonly folder?: string;
  readonly fetch?: typeof fetch;
  readonly createHttpClient?: (options: { caCerts: string[] }) => Deno.HttpClient;
}

const FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";
const TIMEOUT_MILLISECONDS = 10_000;
// A Secret has at most 1 MiB, which base64 and metadata make larger. A page of the list has metadata only.
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
const PAGE_SIZE = 500;
const MAX_PAGES = 20;
const LIMITS = { maxBytes: MAX_ANSWER_BYTES, maxDepth: 64 };
// Metadata alone: the content of all releases would be transferred for each comparison. Servers that do not know it send
// the Secrets themselves.
const METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

interface Answer {
  readonly status: number;
  readonly json: Record<string, unknown>;
}

/** The API of the cluster that crpe's pod runs in. */
export class PodCluster implements ClusterApi {
  readonly #options: PodClusterOptions;
  #client: { readonly ca: string; readonly client: Deno.HttpClient } | undefined;

  constructor(options: PodClusterOptions) {
    this.#options = options;
  }

  async readSecret(name: string): Promise<Secret | undefined> {
    const { status, json } = await this.#request("GET", `secrets/${name}`, { accepted: [404] });
    return status === 404 ? undefined : parseSecret(json);
  }

  async listSecrets(selector: string): Promise<readonly SecretMetadata[]> {
    const found: SecretMetadata[] = [];
    let next = "";
    for (let page = 0; page < MAX_PAGES; page++) {
      const query = new URLSearchParams({ labelSelector: selector, limit: String(PAGE_SIZE) });
      if (next !== "") query.set("continue", next);
      const { json } = await this.#request("GET", `secrets?${query}`, { accept: METADATA_ONLY });
      for (const item of Array.isArray(json.items) ? json.items : []) found.push(parseSecretMetadata(item));
      next = isJsonObject(json.metadata) && typeof json.metadata.continue === "string" ? json.metadata.continue : "";
      if (next === "") return found;
    }
    throw new ClusterUnreachableError(`it has more than ${MAX_PAGES * PAGE_SIZE} releases`);
  }

  async writeSecret(secret: Secret): Promise<boolean> {
    const { name, resourceVersion } = secret.metadata;
    const body = JSON.stringify(formatSecret(secret, this.#options.namespace));
    if (resourceVersion === undefined) {
      return (await this.#request("POST", "secrets", { body, accepted: [409] })).status !== 409;
    }
    // A Secret that was deleted meanwhile was changed meanwhile.
    const { status } = await this.#request("PUT", `secrets/${name}`, { body, accepted: [404, 409] });
    return status !== 404 && status !== 409;
  }

  async deleteSecret(name: string): Promise<void> {
    await this.#request("DELETE", `secrets/${name}`, { accepted: [404] });
  }

  async applyConfigMap(name: string, data: Readonly<Record<string, string>>, fieldManager: string): Promise<void> {
    const query = new URLSearchParams({ fieldManager, force: "true" });
    await this.#request("PATCH", `configmaps/${name}?${query}`, {
      body: JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data }),
      type: "application/apply-patch+yaml",
    });
  }

  async #request(
    method: string,
    path: string,
    { body, accept = "application/json", type = "application/json", accepted = [] }: {
      body?: string;
      accept?: string;
      type?: string;
      accepted?: readonly number[];
    },
  ): Promise<Answer> {
    const { url, namespace, fetch: send = fetch } = this.#options;
    const target = `${url}/api/v1/namespaces/${namespace}/${path}`;
    const { token, client } = await this.#authenticate();
    let answer: Answer;
    try {
      const response = await send(target, {
        method,
        headers: { authorization: `Bearer ${token}`, accept, ...(body === undefined ? {} : { "content-type": type }) },
        body,
        client,
        // The token must not be sent anywhere else.
        redirect: "error",
        signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
      });
      const bytes = response.body === null ? undefined : await readBounded(response.body, target, MAX_ANSWER_BYTES);
      answer = { status: response.status, json: readAnswer(bytes) };
    } catch (cause) {
      throw new ClusterUnreachableError(`its API server at ${url} does not answer: ${reasonOf(cause)}`, { cause });
    }
    if (answer.status < 300 || accepted.includes(answer.status)) return answer;
    const { message } = answer.json;
    throw new ClusterUnreachableError(
      `its API server answered ${answer.status}${typeof message === "string" ? `: ${message}` : ""}`,
    );
  }

  // Both files are read again for each request: a token is valid for an hour, and the kubelet replaces it in time.
  async #authenticate(): Promise<{ token: string; client: Deno.HttpClient | undefined }> {
    const { url, folder = FOLDER, createHttpClient = Deno.createHttpClient } = this.#options;
    try {
      const token = (await Deno.readTextFile(`${folder}/token`)).trim();
      if (!url.startsWith("https:")) return { token, client: undefined };
      const ca = await Deno.readTextFile(`${folder}/ca.crt`);
      if (this.#client?.ca !== ca) {
        this.#client?.client.close();
        this.#client = { ca, client: createHttpClient({ caCerts: [ca] }) };
      }
      return { token, client: this.#client.client };
    } catch (cause) {
      throw new ClusterUnreachableError(
        `the pod has no token in ${folder}; its service account is needed (automountServiceAccountToken)`,
        { cause },
      );
    }
  }
}

function readAnswer(bytes: Uint8Array | undefined): Record<string, unknown> {
  if (bytes === undefined || bytes.length === 0) return {};
  // A proxy in front of the API server answers with a page.
  const json = unlessCorrupt(() => parseJson(bytes, "the answer", LIMITS));
  return isJsonObject(json) ? json : {};
}

function reasonOf(error: unknown): string {
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return `no answer in ${TIMEOUT_MILLISECONDS / 1000} s`;
  }
  return error instanceof Error ? error.message : String(error);
}
