import type { AuditLog } from "../../files/audit_log.ts";
import { ClusterUnreachableError } from "../../install/cluster/cluster_api.ts";
import { type SyncOptions, syncReleases, type SyncReport } from "../../install/cluster/sync_releases.ts";
import { formatPackageId } from "../../kubepkg/package_id.ts";
import { describeError } from "../console/describe_error.ts";
import { formatUnreachable } from "../wiring/open_releases.ts";
import type { Log } from "./log.ts";

/** The dependencies of a `ReleaseSync`. */
interface ReleaseSyncOptions extends SyncOptions {
  readonly log: Pick<Log, "write">;
  readonly audit: Pick<AuditLog, "end">;
  /** Between two comparisons, in milliseconds. */
  readonly interval: number;
}

/** Compares the manifests of an agent with the releases in the cluster, at its start and then regularly. */
export class ReleaseSync {
  readonly #options: ReleaseSyncOptions;
  // What was logged and has not changed since.
  #known = new Set<string>();
  #unreachable: string | undefined;

  constructor(options: ReleaseSyncOptions) {
    this.#options = options;
  }

  /** Starts the comparisons. They do not keep the process alive. */
  start(): void {
    const again = async () => {
      await this.run();
      Deno.unrefTimer(setTimeout(again, this.#options.interval));
    };
    Deno.unrefTimer(setTimeout(again, 0));
  }

  /** Compares once, and logs what was done. Never throws. */
  async run(): Promise<void> {
    try {
      const reports = await syncReleases(this.#options);
      if (this.#unreachable !== undefined) this.#options.log.write("info", "the cluster's releases are known again");
      this.#unreachable = undefined;
      await this.#logAll(reports);
    } catch (error) {
      if (error instanceof ClusterUnreachableError) this.reportUnreachable(error);
      else this.#logProblems([describeError(error)]);
    }
  }

  /** Logs that the cluster cannot be asked, once for as long as that is so. */
  reportUnreachable({ message }: ClusterUnreachableError): void {
    // The reason may vary, such as a connection that is refused first and times out later.
    if (this.#unreachable === undefined) this.#options.log.write("warning", formatUnreachable(message));
    this.#unreachable = message;
  }

  async #logAll(reports: readonly SyncReport[]): Promise<void> {
    for (const report of reports.filter(({ error }) => error === undefined)) {
      this.#options.log.write(levelOf(report), formatReport(report));
      await this.#audit(report);
    }
    this.#logProblems(reports.flatMap(({ error }) => error === undefined ? [] : [describeError(error)]));
  }

  // Only what was done: a problem would be tried, and logged, every minute.
  async #audit({ package: { namespace, name }, action, version, node }: SyncReport): Promise<void> {
    const result = AUDITED[action];
    if (result === undefined) return;
    const entry = { action: "cluster-sync", by: { server: node ?? "" }, namespace, name, version };
    await this.#options.audit.end(crypto.randomUUID(), entry, { result });
  }

  // A problem stays until it is solved; it is not logged every minute.
  #logProblems(problems: readonly string[]): void {
    for (const problem of problems) if (!this.#known.has(problem)) this.#options.log.write("warning", problem);
    this.#known = new Set(problems);
  }
}

// What a release of the cluster changes on this server. What it publishes was an action of its own before.
const AUDITED: Readonly<Partial<Record<SyncReport["action"], string>>> = {
  "write file": "handed-over",
  "set aside": "set-aside",
  "remove file": "removed",
};

function levelOf({ action }: SyncReport): "info" | "warning" {
  return action === "set aside" ? "warning" : "info";
}

/** Formats the log message of a comparison that has done something. */
export function formatReport({ package: id, action, version, node, isWithoutImages }: SyncReport): string {
  const name = formatPackageId(id);
  const release = `${name}@${version}`;
  switch (action) {
    case "write file":
      return `${release}, which server ${node} installed, is handed over here too${
        isWithoutImages ? "; its images are not copied: nodes pull them from a server that has them" : ""
      }`;
    case "set aside":
      return `the manifests of ${name} are removed from this server: the cluster has ${version}, installed on server ${node}, which is too large to be copied; import it here too`;
    case "remove file":
      return `the manifests of ${name} are removed from this server, because server ${node} removed the package`;
    case "publish removal":
      return `the removal of ${release} is reported to the other servers`;
    default:
      return `${release} is reported to the other servers`;
  }
}
