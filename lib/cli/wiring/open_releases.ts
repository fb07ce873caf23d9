import type { ClusterApi, ClusterUnreachableError } from "../../install/cluster/cluster_api.ts";
import { ClusterReleases } from "../../install/cluster/cluster_releases.ts";
import { KubectlApi } from "../../install/cluster/kubectl_api.ts";
import { PodCluster } from "../../install/cluster/pod_cluster.ts";
import type { Handover } from "../../install/handover/handover.ts";
import type { HandoverPlace } from "../../install/handover/handover_records.ts";
import { formatHost } from "../../server/listen.ts";
import type { Invocation } from "../command_line/command.ts";
import type { Io } from "../console/io.ts";
import { createHandover, type HandoverContext } from "./open_handover.ts";
import { runKubectl } from "./run_kubectl.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** Which releases are opened. */
interface OpenReleasesOptions {
  /** The manifest folder of this server. */
  readonly manifestsDir: string;
  /** The node id of this server; default: the host name. */
  readonly node?: string;
}

/** Options of `openHandover`. */
interface OpenHandoverOptions extends Pick<HandoverContext, "waitForWatcher" | "deleteTimeLimit"> {
  readonly io: Pick<Io, "env">;
  readonly warn: (message: string) => void;
}

const DEFAULT_NAMESPACE = "crpe";
const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/**
 * Opens the releases that the servers of a cluster share: by the API of the cluster in a pod, else by kubectl. Nothing is
 * contacted before they are used.
 *
 * @throws {UsageError} when `--release-namespace` is no name of a namespace
 */
export function openReleases(
  invocation: Invocation,
  io: Pick<Io, "env">,
  { manifestsDir, node = Deno.hostname() }: OpenReleasesOptions,
): ClusterReleases {
  const namespace = readReleaseNamespace(invocation);
  const [host, port] = [io.env("KUBERNETES_SERVICE_HOST"), io.env("KUBERNETES_SERVICE_PORT") ?? "443"];
  const api: ClusterApi = host === undefined
    ? new KubectlApi({ runKubectl, namespace, folder: manifestsDir })
    : new PodCluster({ url: `https://${formatHost(host)}:${port}`, namespace });
  return new ClusterReleases(api, { node });
}

/** Reads `--release-namespace`. @throws {UsageError} when it is no name of a namespace */
export function readReleaseNamespace(invocation: Invocation): string {
  const namespace = invocation.flag("release-namespace") ?? DEFAULT_NAMESPACE;
  if (LABEL.test(namespace)) return namespace;
  throw new UsageError(
    cannot(`use --release-namespace ${JSON.stringify(namespace)}`, 'it must be lower-case letters, digits and "-"'),
  );
}

/**
 * Opens the hand-over of a command that hands over once. It warns if the cluster should answer and does not; without a
 * cluster there is nothing to warn of.
 *
 * @returns `undefined` without a place
 */
export function openHandover(
  place: HandoverPlace | undefined,
  invocation: Invocation,
  { io, warn, ...context }: OpenHandoverOptions,
): Handover | undefined {
  if (place === undefined) return undefined;
  const forceConflicts = invocation.isSet("force-conflicts");
  if (!("manifestsDir" in place)) return createHandover(place, { ...context, forceConflicts });
  const { manifestsDir } = place;
  const warned = new Set<string>();
  return createHandover(place, {
    ...context,
    shared: {
      releases: openReleases(invocation, io, { manifestsDir }),
      onUnreachable: ({ isExpected, message }) => {
        if (!isExpected || warned.has(message)) return;
        warned.add(message);
        warn(formatUnreachable(message));
      },
    },
  });
}

/** The warning that the cluster cannot be asked. */
export function formatUnreachable(reason: ClusterUnreachableError["message"]): string {
  return `the cluster's releases are not known, so other servers are not kept at the same release: ${reason}; see docs/kubernetes.md, "Several servers"`;
}
