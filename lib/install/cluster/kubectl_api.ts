import { CorruptError } from "../../oci/error.ts";
import { parseJson } from "../../oci/json.ts";
import { failureLinesOf } from "../handover/kubectl_advice.ts";
import type { KubectlResult, RunKubectl } from "../handover/kubectl_error.ts";
import { type ClusterApi, ClusterUnreachableError, type Secret, type SecretMetadata } from "./cluster_api.ts";
import { RELEASE_ANNOTATION } from "./release_secret.ts";
import { formatSecret, parseSecret } from "./secret_json.ts";

/** How kubectl reaches the cluster that reads a manifest folder. */
interface KubectlApiOptions {
  readonly runKubectl: RunKubectl;
  /** The namespace of the Secrets. */
  readonly namespace: string;
  /** The manifest folder. */
  readonly folder: string;
}

const TIMEOUT = "--request-timeout=20s";
// Seconds after which a kubectl that ignores its time-out is ended.
const TIME_LIMIT = 30;
const LIMITS = { maxBytes: 16 * 1024 * 1024, maxDepth: 64 };
const ADDONS = ["get", "addons.k3s.cattle.io", "-n", "kube-system"];
const SOURCES = '-o=jsonpath={range .items[*]}{.spec.source}{"\\n"}{end}';
const LINES = '-o=jsonpath={range .items[*]}{.metadata.name}{"\\t"}{.metadata.resourceVersion}{"\\t"}' +
  `{.metadata.annotations.${RELEASE_ANNOTATION.replaceAll(".", "\\.")}}{"\\n"}{end}`;

/**
 * The API of a cluster as kubectl reaches it. A kubeconfig may name any cluster: it counts only if it is the one that reads
 * the manifest folder, as the Addons that k3s made of the files in the folder tell.
 */
export class KubectlApi implements ClusterApi {
  readonly #options: KubectlApiOptions;
  #isChecked = false;

  constructor(options: KubectlApiOptions) {
    this.#options = options;
  }

  async readSecret(name: string): Promise<Secret | undefined> {
    const { stdout } = await this.#run(["get", "secret", name, "--ignore-not-found", "-o=json"]);
    if (stdout.trim() === "") return undefined;
    try {
      return parseSecret(parseJson(new TextEncoder().encode(stdout), "the output of kubectl", LIMITS));
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
      throw new ClusterUnreachableError(`the output of kubectl is damaged: ${error.reason}`, { cause: error });
    }
  }

  async listSecrets(selector: string): Promise<readonly SecretMetadata[]> {
    const { stdout } = await this.#run(["get", "secrets", "-l", selector, LINES]);
    return stdout.split("\n").flatMap((line) => {
      const [name = "", resourceVersion = "", release = ""] = line.split("\t");
      if (name === "") return [];
      return [{ name, resourceVersion, labels: {}, annotations: { [RELEASE_ANNOTATION]: release } }];
    });
  }

  async writeSecret(secret: Secret): Promise<boolean> {
    const verb = secret.metadata.resourceVersion === undefined ? "create" : "replace";
    const input = JSON.stringify(formatSecret(secret, this.#options.namespace));
    return (await this.#run([verb, "-f", "-"], { input, isConflict })).code === 0;
  }

  async deleteSecret(name: string): Promise<void> {
    await this.#run(["delete", "secret", name, "--ignore-not-found", "--wait=false"]);
  }

  async applyConfigMap(name: string, data: Readonly<Record<string, string>>, fieldManager: string): Promise<void> {
    const { namespace } = this.#options;
    const input = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data });
    const args = ["apply", "--server-side", `--field-manager=${fieldManager}`, "--force-conflicts", "-f", "-"];
    await this.#run(args, { input });
  }

  async #run(
    args: readonly string[],
    { input, isConflict = () => false }: { input?: string; isConflict?: (result: KubectlResult) => boolean } = {},
  ): Promise<KubectlResult> {
    await this.#check();
    const { runKubectl, namespace } = this.#options;
    const result = await runKubectl({ args: [...args, "-n", namespace, TIMEOUT], input, timeLimit: TIME_LIMIT });
    if (result !== undefined && (result.code === 0 || isConflict(result))) return result;
    throw new ClusterUnreachableError(`kubectl failed: ${reasonOf(result)}`);
  }

  async #check(): Promise<void> {
    if (this.#isChecked) return;
    const { runKubectl, folder } = this.#options;
    const path = await Deno.realPath(folder).catch(() => folder);
    const result = await runKubectl({ args: [...ADDONS, SOURCES, TIMEOUT], timeLimit: TIME_LIMIT });
    const sources = result?.code === 0 ? result.stdout.split("\n") : [];
    if (!sources.some((source) => source.startsWith(`${path}/`))) {
      const reason = result === undefined ? "kubectl is not installed" : "kubectl does not reach a k3s that reads it";
      throw new ClusterUnreachableError(`no cluster is known that reads ${folder}: ${reason}`, { isExpected: false });
    }
    this.#isChecked = true;
  }
}

// A Secret that was deleted meanwhile was changed meanwhile; a namespace that does not exist is not.
function isConflict({ stderr }: KubectlResult): boolean {
  return /\((?:AlreadyExists|Conflict)\)/.test(stderr) || /\(NotFound\).*secrets "/.test(stderr);
}

function reasonOf(result: KubectlResult | undefined): string {
  return result === undefined ? "it is not installed" : failureLinesOf(result)[0] ?? `exit status ${result.code}`;
}
