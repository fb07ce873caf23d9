import { type HandOverOptions, handOverPackage } from "../../../lib/install/hand_over_package.ts";
import { FolderHandover, type FolderHandoverOptions } from "../../../lib/install/handover/folder_handover.ts";
import type { HandoverPlan, HandoverResult } from "../../../lib/install/handover/handover.ts";
import { K3sAddons } from "../../../lib/install/handover/k3s_addons.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { type RemoveOptions, removePackage, type RemoveResult } from "../../../lib/install/remove_package.ts";
import type { KubeObject, KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { MemoryStore } from "../memory_store.ts";
import { TestFolder } from "../test_folder.ts";
import { ApiServer } from "./api_server.ts";
import { DeployController } from "./deploy_controller.ts";
import { MemoryCluster } from "./memory_cluster.ts";
import { idOf } from "../kubepkg.ts";

/** A release without images. */
export function makeRelease(
  objects: readonly KubeObject[],
  { name = "web", version = "1.0.0", namespace = "default" } = {},
): KubePkg {
  const manifests = Object.fromEntries(objects.map((object, i) => [`object-${i}`, object]));
  return parseKubePkg({
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name, namespace },
    spec: { version, manifests },
  });
}

/** An object by its label, such as `ConfigMap/shop/a`, `Namespace/shop` or `Deployment/a`. */
export function makeObject(label: string, more: Readonly<Record<string, unknown>> = {}): KubeObject {
  const [kind = "", ...names] = label.split("/");
  const name = names.at(-1) ?? "";
  const namespace = names.length > 1 ? { namespace: names[0] } : {};
  return { apiVersion: API_VERSIONS[kind] ?? "v1", kind, metadata: { name, ...namespace }, ...more };
}

const API_VERSIONS: Readonly<Record<string, string>> = {
  Deployment: "apps/v1",
  StorageClass: "storage.k8s.io/v1",
  CustomResourceDefinition: "apiextensions.k8s.io/v1",
  Thing: "example.org/v1",
};

/** The definition of the kind `Thing`. */
export const THINGS: KubeObject = makeObject("CustomResourceDefinition/things.example.org", {
  spec: {
    group: "example.org",
    names: { kind: "Thing", plural: "things" },
    scope: "Namespaced",
    versions: [{ name: "v1", served: true, storage: true }],
  },
});

/** A k3s without images: an API server, its deploy controller, and crpe with the folder that it polls. */
export class FolderSite implements AsyncDisposable {
  readonly server = new ApiServer();
  readonly cluster = new MemoryCluster(this.server);
  readonly folder: TestFolder;
  readonly records: PackageRecords;
  readonly controller: DeployController;
  /** The manifest folder. */
  readonly manifests: string;

  private constructor(folder: TestFolder) {
    this.folder = folder;
    this.manifests = `${folder.path}/manifests`;
    this.records = new PackageRecords(`${folder.path}/data`);
    this.controller = new DeployController(this.server, this.manifests);
  }

  static async create(): Promise<FolderSite> {
    const folder = await TestFolder.create();
    await Deno.mkdir(`${folder.path}/manifests`);
    return new FolderSite(folder);
  }

  handover(options: FolderHandoverOptions = {}): FolderHandover {
    return new FolderHandover(this.manifests, options);
  }

  /** Hands a release over and records it, as an import does; k3s polls the folder afterwards. */
  async install(
    kubepkg: KubePkg,
    options: Partial<HandOverOptions> & { readonly isPolled?: boolean } = {},
  ): Promise<{ plan: HandoverPlan; result: HandoverResult }> {
    const done = await handOverPackage(kubepkg, { handover: this.handover(), records: this.records, ...options });
    await this.records.write(kubepkg);
    if (options.isPolled ?? true) await this.poll();
    return done;
  }

  /** Removes a package while k3s polls the folder, and the objects can be asked for. */
  async remove(name: string, options: Partial<RemoveOptions> = {}): Promise<RemoveResult> {
    const handover = this.handover({
      addons: new K3sAddons(this.cluster),
      waitForWatcher: async (isOver) => {
        await this.poll();
        await isOver();
      },
    });
    return await removePackage(idOf(name), {
      records: this.records,
      store: new MemoryStore(),
      openHandover: () => handover,
      ...options,
    });
  }

  /** k3s fails where a definition is new, and succeeds in the next pass. */
  async poll(): Promise<void> {
    for (let pass = 0; pass < 2; pass++) await this.controller.poll();
  }

  /** The labels of the objects that are not of Kubernetes or k3s themselves. */
  objects(): string[] {
    return this.server.list().filter((label) => !/^(?:Addon|Event)\/|^Namespace\/(?:default|kube-system)$/.test(label));
  }

  /** The text of a manifest file; `undefined` if it does not exist. */
  async read(name = "web.yaml"): Promise<string | undefined> {
    return await Deno.readTextFile(`${this.manifests}/${name}`).catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}
