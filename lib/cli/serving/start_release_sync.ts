import type { AuditLog } from "../../files/audit_log.ts";
import type { SharedHandoverOptions } from "../../install/cluster/shared_handover.ts";
import type { PackageRecords } from "../../install/package_records.ts";
import type { Invocation } from "../command_line/command.ts";
import type { Io } from "../console/io.ts";
import { createFolderHandover } from "../wiring/open_handover.ts";
import { openReleases } from "../wiring/open_releases.ts";
import type { Log } from "./log.ts";
import { ReleaseSync } from "./release_sync.ts";

/** The server that the comparisons belong to. */
interface SyncedServer {
  readonly records: PackageRecords;
  readonly log: Log;
  readonly audit: AuditLog;
  readonly manifestsDir: string;
  readonly node: string;
  /** Between two comparisons, in milliseconds. */
  readonly interval: number;
}

/** Starts to compare an agent's manifest folder with the cluster. @returns what its hand-over shares with other servers */
export function startReleaseSync(
  invocation: Invocation,
  io: Pick<Io, "env">,
  { records, log, audit, manifestsDir, node, interval }: SyncedServer,
): SharedHandoverOptions {
  const releases = openReleases(invocation, io, { manifestsDir, node });
  const handover = createFolderHandover(manifestsDir);
  const sync = new ReleaseSync({ records, handover, releases, log, audit, interval });
  sync.start();
  return { releases, onUnreachable: (error) => sync.reportUnreachable(error) };
}
