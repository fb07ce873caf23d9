import type { KubectlCluster } from "../../../lib/install/handover/kubectl_cluster.ts";
import { formatIdentity } from "../../../lib/kubepkg/object_identity.ts";
import type { PackageObject } from "../../../lib/kubepkg/package_objects.ts";
import { isJsonObject } from "../../../lib/oci/json.ts";
import type { ApiServer } from "./api_server.ts";

/** Reads an API server as `KubectlCluster` does, without kubectl. */
export class MemoryCluster implements Pick<KubectlCluster, "readJson" | "listPresent" | "isApplied"> {
  /** False: the server cannot be asked. */
  isReachable = true;
  /** What `isApplied` answers. */
  isEqual = true;
  readonly #server: ApiServer;

  constructor(server: ApiServer) {
    this.#server = server;
  }

  async readJson(args: readonly string[]): Promise<Record<string, unknown> | undefined> {
    if (!this.isReachable) return undefined;
    const [verb, resource, , namespace, , selector = ""] = args;
    if (verb !== "get") throw new Error(`Cannot run ${args.join(" ")}: the test has no such command`);
    const group = resource === "events" ? "api/v1" : "apis/k3s.cattle.io/v1";
    const url = `${this.#server.url}/${group}/namespaces/${namespace}/${resource!.split(".")[0]}`;
    const response = await fetch(`${url}?fieldSelector=${encodeURIComponent(selector)}`);
    const json: unknown = await response.json();
    return response.ok && isJsonObject(json) ? json : undefined;
  }

  listPresent(objects: readonly PackageObject[]): Promise<readonly PackageObject[] | undefined> {
    const present = objects.filter(({ identity }) => this.#server.get(formatIdentity(identity)) !== undefined);
    return Promise.resolve(this.isReachable ? present : undefined);
  }

  isApplied(): Promise<boolean> {
    return Promise.resolve(this.isEqual);
  }
}
