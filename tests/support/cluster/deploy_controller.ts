// @ts-types="../../../lib/std/yaml.d.ts"
import { parseAll } from "@std/yaml";
import { isJsonObject } from "../../../lib/oci/json.ts";
import type { ApiServer } from "./api_server.ts";
import type { Json } from "./managed_object.ts";

/** How a `DeployController` differs from one without flags. */
export interface DeployControllerOptions {
  /** Names of `--disable`. */
  readonly disabled?: readonly string[];
  /** The folder as the controller sees it, if not by the path that is read here. */
  readonly source?: string;
  /** A clock, in milliseconds. */
  readonly now?: () => number;
}

/** An object as Kubernetes identifies it. */
interface Identity {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

const NAMESPACE = "kube-system";
const GVKS = "addon.k3s.cattle.io/gvks";
const OWNER = "objectset.rio.cattle.io/owner-name";
const PRUNE = "objectset.rio.cattle.io/prune";
const CLUSTER_KINDS =
  /^(?:Namespace|PersistentVolume|Node|ClusterRole|ClusterRoleBinding|StorageClass|CustomResourceDefinition|.*WebhookConfiguration|APIService|IngressClass|PriorityClass)$/;

/**
 * Does with a folder what the deploy controller of k3s does (k3s: pkg/deploy/controller.go, wrangler: pkg/apply), one pass
 * for each `poll`: files sorted by path, subfolders too; an Addon by the base name up to the first dot; a file is read again
 * when it was modified, and applied when its checksum is not that of the last one that was applied completely; objects that
 * left the file are deleted by the label of their owner, of the kinds that the last complete apply had; the Addon that
 * applies an object last owns it. Objects go in their order in the file, and one that fails stops no other.
 */
export class DeployController {
  /** Tells why the cluster refuses an object, where it does. */
  refuse: (object: Json) => string | undefined = () => undefined;
  readonly #server: ApiServer;
  readonly #folder: string;
  readonly #options: DeployControllerOptions;
  readonly #modified = new Map<string, number | undefined>();
  #isForced = true;
  #events = 0;

  constructor(server: ApiServer, folder: string, options: DeployControllerOptions = {}) {
    this.#server = server;
    this.#folder = folder;
    this.#options = options;
  }

  /** The next pass applies every file, as the first one after a start of k3s does. */
  restart(): void {
    this.#isForced = true;
    this.#modified.clear();
  }

  /** Goes through the folder once. */
  async poll(): Promise<void> {
    const files = await listFiles(this.#folder);
    const skips = new Set(
      files.filter((path) => path.endsWith(".skip")).map((path) => baseNameOf(path).slice(0, -".skip".length)),
    );
    let isFailed = false;
    for (const path of files) {
      const name = baseNameOf(path);
      if (!/\.(?:ya?ml|json)$/i.test(name) || name.startsWith(".") || skips.has(name)) continue;
      if (this.#isDisabled(path)) {
        await this.#apply(path, []);
        await Deno.remove(`${this.#folder}/${path}`);
        this.#server.delete(`Addon/${NAMESPACE}/${stemOf(path)}`);
        continue;
      }
      const modified = (await Deno.stat(`${this.#folder}/${path}`)).mtime?.getTime();
      if (!this.#isForced && this.#modified.get(path) === modified) continue;
      if (await this.#deploy(path)) this.#modified.set(path, modified);
      else isFailed = true;
    }
    if (!isFailed) this.#isForced = false;
  }

  #isDisabled(path: string): boolean {
    const steps = path.split("/");
    const names = [
      ...steps.slice(0, -1).map((_, i) => steps.slice(0, i + 1).join("/")),
      path.replace(/^.*\/|\.[^.]*$/g, ""),
    ];
    return names.some((name) => this.#options.disabled?.includes(name));
  }

  async #deploy(path: string): Promise<boolean> {
    const content = await Deno.readFile(`${this.#folder}/${path}`);
    const checksum = await hashOf(content);
    const source = `${this.#options.source ?? this.#folder}/${path}`;
    const addon = this.#addonOf(path);
    if (addon === undefined) this.#writeAddon(path, { source, checksum: "", gvks: "" });
    const spec = (addon?.spec ?? {}) as Json;
    if (!this.#isForced && spec.checksum === checksum) return true;
    let objects: Json[];
    try {
      objects = parseObjects(new TextDecoder().decode(content));
    } catch (error) {
      this.#report(path, "ParseManifestFailed", `Parse manifest at "${source}" failed: ${(error as Error).message}`);
      return false;
    }
    this.#report(path, "ApplyingManifest", `Applying manifest at "${source}"`);
    const failures = await this.#apply(path, objects);
    if (failures.length > 0) {
      this.#report(path, "ApplyManifestFailed", `Applying manifest at "${source}" failed: ${failures.join(", ")}`);
      return false;
    }
    this.#report(path, "AppliedManifest", `Applied manifest at "${source}"`);
    const gvks = [...new Set(objects.map((object) => `${object.apiVersion}, Kind=${object.kind}`))].join(";");
    this.#writeAddon(path, { source, checksum, gvks });
    return true;
  }

  // deno-lint-ignore require-await -- as the real one, which waits for the API server
  async #apply(path: string, objects: readonly Json[]): Promise<string[]> {
    const owner = stemOf(path);
    const metadata = this.#addonOf(path)?.metadata as Json | undefined;
    const gvks = String((metadata?.annotations as Json | undefined)?.[GVKS] ?? "").split(";").filter((it) => it !== "");
    const kinds = new Set([...gvks.map((gvk) => gvk.split("Kind=")[1]!), ...objects.map(({ kind }) => String(kind))]);
    const failures: string[] = [];
    const wanted = new Set<string>();
    for (const object of objects) {
      const label = labelOf(identityOf(object));
      wanted.add(label);
      const failure = this.refuse(object) ?? this.#put(object, owner);
      if (failure !== undefined) failures.push(`failed to create ${label}: ${failure}`);
    }
    for (const label of this.#server.list()) {
      if (!kinds.has(label.split("/")[0]!) || wanted.has(label)) continue;
      const labels = ((this.#server.get(label)?.metadata as Json | undefined)?.labels ?? {}) as Json;
      if (labels[OWNER] === owner && labels[PRUNE] !== "false") this.#server.delete(label);
    }
    return failures;
  }

  #put(object: Json, owner: string): string | undefined {
    const { namespace } = identityOf(object);
    if (namespace !== "" && this.#server.get(`Namespace/${namespace}`) === undefined) {
      return `namespaces "${namespace}" not found`;
    }
    const metadata = object.metadata as Json;
    const labels = { ...(metadata.labels as Json | undefined), [OWNER]: owner };
    try {
      const placed = namespace === "" ? {} : { namespace };
      this.#server.put({ ...object, metadata: { ...metadata, ...placed, labels } }, "deploy@node");
    } catch {
      return `no matches for kind "${object.kind}" in version "${object.apiVersion}"`;
    }
    return undefined;
  }

  #addonOf(path: string): Json | undefined {
    return this.#server.get(`Addon/${NAMESPACE}/${stemOf(path)}`);
  }

  #writeAddon(path: string, { source, checksum, gvks }: { source: string; checksum: string; gvks: string }): void {
    this.#server.put({
      apiVersion: "k3s.cattle.io/v1",
      kind: "Addon",
      metadata: { name: stemOf(path), namespace: NAMESPACE, annotations: { [GVKS]: gvks } },
      spec: { source, checksum },
    }, "deploy@node");
  }

  #report(path: string, reason: string, message: string): void {
    const name = stemOf(path);
    const number = String(++this.#events).padStart(6, "0");
    const time = new Date(this.#options.now?.() ?? Date.now()).toISOString().replace(/\.\d+Z$/, "Z");
    this.#server.put({
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${name}.${number}`, namespace: NAMESPACE },
      involvedObject: { apiVersion: "k3s.cattle.io/v1", kind: "Addon", namespace: NAMESPACE, name },
      reason,
      message,
      type: reason.endsWith("Failed") ? "Warning" : "Normal",
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    }, "deploy@node");
  }
}

async function listFiles(folder: string, below = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(`${folder}/${below}`)) {
    if (isDirectory) found.push(...await listFiles(folder, `${below}${name}/`));
    else found.push(`${below}${name}`);
  }
  return found.sort();
}

function parseObjects(text: string): Json[] {
  const documents = parseAll(text) as unknown[];
  return documents.filter((it) => it !== null && it !== undefined).flatMap((document) => {
    if (!isJsonObject(document) || typeof document.kind !== "string") throw new Error("Object 'Kind' is missing");
    return document.kind.endsWith("List") && Array.isArray(document.items) ? document.items as Json[] : [document];
  });
}

function identityOf({ apiVersion, kind, metadata }: Json): Identity {
  const { name, namespace } = metadata as { name: string; namespace?: string };
  const isOfCluster = CLUSTER_KINDS.test(String(kind));
  return {
    apiVersion: String(apiVersion),
    kind: String(kind),
    name,
    namespace: isOfCluster ? "" : namespace ?? "default",
  };
}

function labelOf({ kind, namespace, name }: Identity): string {
  return [kind, namespace, name].filter((part) => part !== "").join("/");
}

function baseNameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function stemOf(path: string): string {
  return baseNameOf(path).split(".", 1)[0]!;
}

async function hashOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
