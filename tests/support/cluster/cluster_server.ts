import type { ClusterUnreachableError } from "../../../lib/install/cluster/cluster_api.ts";
import { ClusterReleases } from "../../../lib/install/cluster/cluster_releases.ts";
import { PodCluster } from "../../../lib/install/cluster/pod_cluster.ts";
import { SharedHandover } from "../../../lib/install/cluster/shared_handover.ts";
import { syncReleases, type SyncReport } from "../../../lib/install/cluster/sync_releases.ts";
import { handOverPackage, removeFromCluster } from "../../../lib/install/hand_over_package.ts";
import { FolderHandover } from "../../../lib/install/handover/folder_handover.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import type { KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import type { TestFolder } from "../test_folder.ts";
import type { ApiServer } from "./api_server.ts";

/** One of several servers of a cluster: a data folder, a manifest folder, and the parts of an agent that hand over. */
export class ClusterServer {
  readonly records: PackageRecords;
  readonly releases: ClusterReleases;
  /** Reasons why the cluster could not be asked. */
  readonly unreachable: string[] = [];
  readonly #folder: TestFolder;
  readonly #name: string;
  readonly #own: FolderHandover;
  readonly #shared: SharedHandover;

  constructor(name: string, api: Pick<ApiServer, "url">, { folder, now }: { folder: TestFolder; now: () => Date }) {
    Deno.mkdirSync(`${folder.path}/${name}/manifests`, { recursive: true });
    this.#name = name;
    this.#folder = folder;
    this.records = new PackageRecords(`${folder.path}/${name}/data`);
    const account = `${folder.path}/account`;
    Deno.mkdirSync(account, { recursive: true });
    Deno.writeTextFileSync(`${account}/token`, "token\n");
    const cluster = new PodCluster({ url: api.url, namespace: "crpe", folder: account });
    this.releases = new ClusterReleases(cluster, { node: name, now });
    this.#own = new FolderHandover(`${folder.path}/${name}/manifests`);
    this.#shared = new SharedHandover(this.#own, {
      releases: this.releases,
      onUnreachable: ({ message }: ClusterUnreachableError) => this.unreachable.push(message),
    });
  }

  /** Hands a release over and records it as installed, as an import does. */
  async install(kubepkg: KubePkg, { force = false } = {}): Promise<void> {
    await using _lock = await this.records.lock();
    await handOverPackage(kubepkg, { handover: this.#shared, records: this.records, force });
    await this.records.write(kubepkg);
  }

  /** Removes a package: k3s, which nothing stands for here, is taken to have seen the emptied file, which then goes. */
  async remove(kubepkg: KubePkg, { force = false } = {}): Promise<void> {
    await removeFromCluster(kubepkg, { handover: this.#shared, records: this.records, force });
    await this.#own.removeOwnFiles((await this.records.handovers.read(kubepkg.metadata))?.files ?? []);
    await this.records.remove(kubepkg.metadata);
  }

  /** Compares once with the cluster, as an agent does every minute. */
  async sync(): Promise<SyncReport[]> {
    return await syncReleases({ records: this.records, handover: this.#own, releases: this.releases });
  }

  /** Names and texts of the manifest files. */
  async files(): Promise<Record<string, string>> {
    const folder = `${this.#name}/manifests`;
    const names = await this.#folder.listFiles(folder);
    const texts = names.map((name) => Deno.readTextFile(`${this.#folder.path}/${folder}/${name}`));
    return Object.fromEntries((await Promise.all(texts)).map((text, i) => [names[i]!, text]));
  }

  /** The path of a manifest file. */
  pathOf(name: string): string {
    return `${this.#folder.path}/${this.#name}/manifests/${name}`;
  }
}
