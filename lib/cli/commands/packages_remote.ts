import { AgentError, notAnAgent } from "../../agent/client/agent_error.ts";
import { AgentPackages, type ListedPackage } from "../../agent/client/agent_packages.ts";
import type { HandoverResult } from "../../install/handover/handover.ts";
import type { ManifestDiff } from "../../install/handover/manifest_file.ts";
import { type PackageState, type PackageStatus, waitForPackage } from "../../install/package_status.ts";
import type { PackageId } from "../../kubepkg/package_id.ts";
import { isJsonObject } from "../../oci/json.ts";
import { sleepByTimer } from "../../upstream/transport/retry.ts";
import type { Invocation } from "../command_line/command.ts";
import { escapeControls } from "../../oci/escape_controls.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { parseDuration } from "../console/quantity.ts";
import { formatJson, formatTable } from "../console/table.ts";
import { UsageError } from "../console/usage_error.ts";
import { parseAgentAddress } from "../wiring/choose_agent_url.ts";
import { connectAgent, readAgentToken } from "../wiring/connect_agent.ts";
import { selectPackage } from "./packages.ts";
import { formatRemoval } from "./packages_remove.ts";
import { formatRollback, readRollbackTarget } from "./packages_rollback.ts";
import { printStatus } from "./packages_status.ts";

type Document = Readonly<Record<string, unknown>>;

/** What an agent does about a package. */
interface Task {
  readonly invocation: Invocation;
  readonly io: Io;
  readonly packages: AgentPackages;
  /** The agent's address. */
  readonly url: string;
}

// What only a command on the machine itself can do: an agent hands over as it was started.
const LOCAL_VALUES = ["manifests-dir", "release-namespace"];
const LOCAL_SWITCHES = ["pending", "kubectl", "force-conflicts", "prune-data", "force", "forget", "trust-on-first-use"];

const STATES: readonly PackageState[] = ["applied", "failed", "pending", "unknown", "not handed over"];
const KEEP_REASONS = ["data", "shared", "in use", "unknown"] as const;

/** `crpe packages --to URL` */
export async function runRemotePackages(invocation: Invocation, io: Io): Promise<number> {
  return await ask(invocation, io, async ({ packages }) => {
    const list = await packages.list();
    if (invocation.isSet("json")) io.out(formatJson(list.document));
    else {
      const rows = list.packages.map(({ name, namespace, version = "(unreadable)", images }) => {
        return [name, version, namespace, String(images ?? "?")].map(escapeControls);
      });
      io.out(formatTable(["PACKAGE", "VERSION", "NAMESPACE", "IMAGES"], rows));
    }
    return 0;
  });
}

/** `crpe packages history NAME --to URL` */
export async function runRemoteHistory(invocation: Invocation, io: Io): Promise<number> {
  return await askAbout(invocation.arguments[0]!, { invocation, io }, async (id, { packages }) => {
    const versions = await packages.listVersions(id);
    if (invocation.isSet("json")) {
      const { name, namespace } = id;
      const documents = versions.map((version, i) => {
        return { installed: i === 0, kubepkg: { metadata: { name, namespace }, spec: { version } } };
      });
      io.out(formatJson(documents));
    } else {
      const rows = versions.map((version, i) => [escapeControls(version), i === 0 ? "yes" : "-"]);
      io.out(formatTable(["VERSION", "INSTALLED"], rows));
    }
    return 0;
  });
}

/** `crpe packages receipt NAME --to URL` */
export async function runRemoteReceipt(invocation: Invocation, io: Io): Promise<number> {
  return await askAbout(invocation.arguments[0]!, { invocation, io }, async (id, { packages }) => {
    io.out(formatJson(await packages.readReceipt(id)));
    return 0;
  });
}

/** `crpe packages status NAME --to URL` */
export async function runRemoteStatus(invocation: Invocation, io: Io): Promise<number> {
  const wait = parseDuration(invocation.flag("wait") ?? "0", "--wait");
  return await askAbout(invocation.arguments[0]!, { invocation, io }, async (id, { packages }) => {
    const status = await waitForPackage(async () => readStatus(await packages.readStatus(id)), {
      wait,
      now: () => performance.now(),
      sleep: sleepByTimer,
    });
    return printStatus(status, invocation, io);
  });
}

/** `crpe packages rollback NAME --to URL` */
export async function runRemoteRollback(invocation: Invocation, io: Io): Promise<number> {
  const { name, version } = readRollbackTarget(invocation);
  return await askAbout(name, { invocation, io }, async (id, { packages, url }) => {
    const document = await packages.rollBack(id, version);
    if (invocation.isSet("json")) io.out(formatJson(document));
    else {
      const safe = escape(document);
      for (const warning of textsOf(safe.warnings) ?? []) createWarning(io)(warning);
      const result = {
        ...{ ...id, from: `${safe.from}`, to: `${safe.to}`, isChanged: safe.rolledBack === true },
        handedOver: readHandedOver(safe),
        manifests: readDiff(safe.manifests),
      };
      io.out(formatRollback(result, url));
    }
    return 0;
  });
}

/** `crpe packages remove NAME --to URL` */
export async function runRemoteRemove(invocation: Invocation, io: Io): Promise<number> {
  if (invocation.flag("wait") !== undefined) {
    throw new UsageError("Cannot use --wait with --to: the agent does not wait; run the same command again");
  }
  const dryRun = invocation.isSet("dry-run");
  return await askAbout(invocation.arguments[0]!, { invocation, io }, async (id, { packages, url }) => {
    const document = await packages.remove(id, { dryRun });
    const safe = escape(document);
    const isRemoved = safe.removed === true;
    const handedOver = readHandedOver(safe);
    if (invocation.isSet("json")) io.out(formatJson(document));
    else {
      const result = {
        ...{ ...id, version: textOf(safe.version), isRemoved, handedOver, manifests: readDiff(safe.manifests) },
        untagged: textsOf(safe.untagged) ?? [],
        leftFiles: textsOf(safe.leftFiles) ?? [],
      };
      io.out(formatRemoval(result, { dryRun, forget: false, url }));
    }
    return dryRun || isRemoved || handedOver?.remaining === undefined ? 0 : 1;
  });
}

async function ask(invocation: Invocation, io: Io, run: (task: Task) => Promise<number>): Promise<number> {
  const to = invocation.flag("to")!;
  const local = [
    ...LOCAL_VALUES.filter((name) => invocation.flag(name) !== undefined),
    ...LOCAL_SWITCHES.filter((name) => invocation.isSet(name)),
    ...invocation.flags("trusted-keys").length > 0 ? ["trusted-keys"] : [],
  ][0];
  if (local !== undefined) {
    throw new UsageError(`Cannot use --${local} with --to ${to}: it is for the packages of this machine`);
  }
  const token = await readAgentToken(invocation, createWarning(io));
  const connection = await connectAgent(parseAgentAddress(to), { invocation, io, token });
  const { url } = connection;
  try {
    return await run({ invocation, io, packages: new AgentPackages(connection), url });
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    throw new Error(`Cannot ask ${url}: ${error.message}`, { cause: error });
  }
}

async function askAbout(
  name: string,
  { invocation, io }: Pick<Task, "invocation" | "io">,
  run: (id: PackageId, task: Task) => Promise<number>,
): Promise<number> {
  return await ask(invocation, io, async (task) => {
    const { packages } = await task.packages.list();
    const { namespace, name: found }: ListedPackage = selectPackage(packages, name);
    return await run({ namespace, name: found }, task);
  });
}

/** An agent must not control the terminal. */
function escape(document: Document): Document {
  return JSON.parse(JSON.stringify(document), (_, value) => typeof value === "string" ? escapeControls(value) : value);
}

function readStatus(document: Document): PackageStatus {
  const safe = escape(document);
  const [name, namespace, version] = [safe.name, safe.namespace, safe.version].map(textOf);
  const state = STATES.find((one) => one === safe.state);
  if (name === undefined || namespace === undefined || version === undefined || state === undefined) {
    throw notAnAgent("an unknown status");
  }
  return {
    ...{ name, namespace, version, state },
    handedOver: textOf(safe.handedOver),
    where: textOf(safe.where),
    reason: textOf(safe.reason),
    isRemoving: safe.removing === true,
    isRetried: safe.retried === true,
    present: textsOf(safe.present),
    missing: textsOf(safe.missing),
  };
}

function readHandedOver({ handover, confirmed, remaining, failure }: Document): HandoverResult | undefined {
  if (typeof handover !== "string") return undefined;
  return {
    where: handover,
    isConfirmed: confirmed === true,
    remaining: textsOf(remaining),
    failure: textOf(failure),
  };
}

function readDiff(value: unknown): ManifestDiff | undefined {
  if (!isJsonObject(value)) return undefined;
  const [added = [], changed = [], removed = []] = [value.added, value.changed, value.removed].map(textsOf);
  const kept = (Array.isArray(value.kept) ? value.kept : []).filter(isJsonObject).map(({ object, reason }) => {
    return { object: `${object}`, reason: KEEP_REASONS.find((one) => one === reason) ?? "unknown" };
  });
  return { added, changed, removed, kept };
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function textsOf(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : undefined;
}
