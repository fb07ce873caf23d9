import { AgentError } from "../../agent/client/agent_error.ts";
import { AgentPackages, type ListedPackage } from "../../agent/client/agent_packages.ts";
import type { HandoverResult } from "../../install/handover/handover.ts";
import type { ManifestDiff } from "../../install/handover/manifest_file.ts";
import type { PackageId } from "../../kubepkg/package_id.ts";
import { escapeControls } from "../../oci/escape_controls.ts";
import { isJsonObject, textOf, textsOf } from "../../oci/json.ts";
import type { Invocation } from "../command_line/command.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { parseAgentAddress } from "../wiring/choose_agent_url.ts";
import { connectAgent, readAgentToken } from "../wiring/connect_agent.ts";
import { selectPackage } from "./find_package.ts";
import { cannot, CrpeError, UsageError } from "../../oci/error.ts";

/** A JSON document of an agent. */
export type Document = Readonly<Record<string, unknown>>;

/** What an agent does about a package. */
export interface Task {
  readonly invocation: Invocation;
  readonly io: Io;
  readonly packages: AgentPackages;
  /** The agent's address. */
  readonly url: string;
}

// What only a command on the machine itself can do: an agent hands over as it was started.
const LOCAL_VALUES = ["manifests-dir", "release-namespace"];
const LOCAL_SWITCHES = ["pending", "kubectl", "force-conflicts", "prune-data", "force", "forget", "trust-on-first-use"];

const KEEP_REASONS = ["data", "shared", "in use", "unknown"] as const;

/** Runs a command on the agent that `--to` names. @throws {UsageError} for a flag that only this machine can obey */
export async function ask(invocation: Invocation, io: Io, run: (task: Task) => Promise<number>): Promise<number> {
  const to = invocation.flag("to")!;
  const local = [
    ...LOCAL_VALUES.filter((name) => invocation.flag(name) !== undefined),
    ...LOCAL_SWITCHES.filter((name) => invocation.isSet(name)),
    ...invocation.flags("trusted-keys").length > 0 ? ["trusted-keys"] : [],
  ][0];
  if (local !== undefined) {
    throw new UsageError(cannot(`use --${local} with --to ${to}`, "it is for the packages of this machine"));
  }
  const token = await readAgentToken(invocation, createWarning(io));
  const connection = await connectAgent(parseAgentAddress(to), { invocation, io, token });
  const { url } = connection;
  try {
    return await run({ invocation, io, packages: new AgentPackages(connection), url });
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    throw new CrpeError(cannot(`ask ${url}`, error.reason, error.advice), { cause: error });
  }
}

/** Runs a command on one package of the agent that `--to` names. @param name `NAME` or `NAMESPACE/NAME` */
export async function askAbout(
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

/** Escapes the control characters in all texts of a document: an agent must not control the terminal. */
export function escape(document: Document): Document {
  return JSON.parse(JSON.stringify(document), (_, value) => typeof value === "string" ? escapeControls(value) : value);
}

/** Reads what a hand-over has done. @returns `undefined` when nothing was handed over */
export function readHandoverResult({ handover, confirmed, remaining, failure }: Document): HandoverResult | undefined {
  if (typeof handover !== "string") return undefined;
  return {
    where: handover,
    isConfirmed: confirmed === true,
    remaining: textsOf(remaining),
    failure: textOf(failure),
  };
}

/** Reads what changed in the manifests. */
export function readDiff(value: unknown): ManifestDiff | undefined {
  if (!isJsonObject(value)) return undefined;
  const [added = [], changed = [], removed = []] = [value.added, value.changed, value.removed].map(textsOf);
  const kept = (Array.isArray(value.kept) ? value.kept : []).filter(isJsonObject).map(({ object, reason }) => {
    return { object: `${object}`, reason: KEEP_REASONS.find((one) => one === reason) ?? "unknown" };
  });
  return { added, changed, removed, kept };
}
