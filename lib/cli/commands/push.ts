import { AgentClient } from "../../agent/client/agent_client.ts";
import { AgentError } from "../../agent/client/agent_error.ts";
import { pushBundle, type PushResult } from "../../agent/client/push_bundle.ts";
import { RateLimit } from "../../bytes/rate_limit.ts";
import { cannot, CorruptError, IncompleteError, UntrustedError, UsageError } from "../../oci/error.ts";
import { isJsonObject } from "../../oci/json.ts";
import { DEFAULT_NAMESPACE, formatPackageId } from "../../kubepkg/package_id.ts";
import { createSigner } from "../../signature/signature_lines.ts";
import { backoffDelay, DEFAULT_RETRY_POLICY, sleepByTimer } from "../../upstream/transport/retry.ts";
import type { ManifestDiff } from "../../install/handover/manifest_file.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import { readRate } from "../command_line/link_limits.ts";
import { createWarning } from "../console/describe_error.ts";
import { formatHandedOver, formatManifestDiff, formatSameName } from "../console/handover_text.ts";
import type { Io } from "../console/io.ts";
import { baseName, createProgress, formatItem } from "../console/progress.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { adviseToPushAgain } from "../console/repeat_advice.ts";
import { runSeveral, type SeveralItem } from "../console/several.ts";
import { formatVerdict, isVerdict } from "../console/verdict_text.ts";
import { readSettings } from "../command_line/settings.ts";
import { BLOBS } from "../../store/layout.ts";
import { readEffort } from "./pack_deltas.ts";
import { packForAgent, type PackForAgentOptions } from "./push_deltas.ts";
import { parseAgentAddress } from "../wiring/choose_agent_url.ts";
import { connectAgent, readAgentToken } from "../wiring/connect_agent.ts";
import { openBundle } from "../wiring/open_bundle.ts";
import { openPlainStore } from "../wiring/open_packages.ts";
import { readPrivateKeys } from "../wiring/read_keys.ts";

/** `crpe push` */
export const COMMAND: CommandDefinition = {
  interrupted: "the agent keeps what it received; run the same command again to resume",
  details: [
    "URL is the agent's address, such as https://192.168.1.20:36060; HOST[:PORT] is tried with https first. FILE is a copy",
    "of the agent's token file: the one given to the agent, or else the one that it names in its log at the start. A version",
    "lower than the installed one, or the same version with different content, is refused (exit status 3) unless --force is",
    "given. If the data folder or the bucket has the release and an older one, the release is packed again, with changed",
    "layers as deltas against those that the agent has. A signed bundle is sent as it is, unless --sign-key is there to",
    "sign it again.",
  ].join("\n"),
  flags: [
    { name: "to", value: "URL", summary: "the agent" },
    FLAG.agentToken,
    FLAG.fingerprint,
    FLAG.agentCa,
    FLAG.insecureHttp,
    ...STORE_FLAGS,
    { name: "no-delta", summary: "send the bundle as it is" },
    FLAG.deltaEffort,
    {
      name: "sign-key",
      value: "FILE",
      isRepeatable: true,
      summary: "sign what is packed again with this private key (PEM)",
    },
    FLAG.passphraseFile,
    FLAG.pruneData,
    { name: "limit-rate", value: "RATE", summary: "send at most so much, such as 2MiB/s [unlimited]" },
    { name: "dry-run", summary: "print what would be done, send nothing" },
    FLAG.force,
    FLAG.json,
  ],
  examples: [
    ["crpe push line4@1.0.0.tgz --to=https://192.168.1.20:36060 --token-file=token", "send only the missing blobs"],
  ],
  run: runPush,
};

async function runPush(invocation: Invocation, io: Io): Promise<number> {
  const files = invocation.arguments;
  if (files.includes("-")) {
    throw new UsageError(cannot("push standard input", "an interrupted push could not be resumed", "name a file"));
  }
  const to = invocation.flag("to");
  if (to === undefined) throw new UsageError(cannot("push", "name the agent with --to URL"));
  const address = parseAgentAddress(to);
  const delta = await readDeltaOptions(invocation, io);
  const warn = createWarning(io);
  const token = await readAgentToken(invocation, warn);
  if (token === undefined) {
    throw new UsageError(cannot("push", "name the file that has the agent's token with --token-file FILE"));
  }
  const connection = await connectAgent(address, { invocation, io, token });
  const { url, localUrl } = connection;
  const caFile = invocation.flag("ca-file");
  const rate = invocation.flag("limit-rate");
  const client = new AgentClient({
    ...connection,
    force: invocation.isSet("force"),
    pruneData: invocation.isSet("prune-data"),
    rateLimit: rate === undefined ? undefined : new RateLimit(readRate(rate)),
    onWarning: warn,
  });
  const dryRun = invocation.isSet("dry-run");
  const isQuiet = invocation.isSet("quiet");
  const run = async (file: string, { number, report }: SeveralItem) => {
    const progress = createProgress(io, "push", {
      quiet: isQuiet,
      item: formatItem(baseName(file), number, files.length),
    });
    await using smaller = delta && await packForAgent(file, { ...delta, url: localUrl, caFile, isQuiet }, io);
    const send = async (path: string, size: number) =>
      await pushBundle({
        client,
        what: file,
        open: () => openBundle(path, io),
        size,
        dryRun,
        onProgress: (bytes, total) => progress.update(bytes, total),
        onRetry: (reason, delay) => warn(`${url}: ${reason}; retrying in ${Math.ceil(delay / 1000)} s`),
        sleep: sleepByTimer,
        delayOf: (failures) => backoffDelay(failures, Math.random, DEFAULT_RETRY_POLICY),
      });
    let deltas = smaller?.deltas;
    const sendWhole = async () => await send(file, (await Deno.stat(file)).size);
    const result = await (smaller === undefined ? sendWhole() : send(smaller.path, smaller.size).catch((error) => {
      // What the agent held has changed, a layer that it holds is damaged, or the site trusts other keys than --sign-key.
      const kinds = [IncompleteError, CorruptError, UntrustedError];
      if (!kinds.some((kind) => error instanceof kind)) throw error;
      warn(`${error.message}; sending the bundle as it is`);
      deltas = undefined;
      return sendWhole();
    })).catch((error) => {
      throw error instanceof AgentError ? adviseToPushAgain(error, `push ${file} to ${url}`) : error;
    }).finally(() => progress.finish());
    warnOfSameName(result.document, warn);
    const saved = deltas === undefined ? {} : { deltas };
    const lines = resultsOf(result).map((one) => formatSummary(one, url, dryRun));
    if (deltas !== undefined) {
      const { count, size, layerSize } = deltas;
      lines.unshift(
        `${formatCount(count, "layer")} as deltas: ${formatSize(size)} instead of ${formatSize(layerSize)}\n`,
      );
    }
    report({ file, to: url, ...result.document, [dryRun ? "toSend" : "sent"]: result.sent, ...saved }, lines.join(""));
  };
  return await runSeveral(files, { invocation, io }, run);
}

// Without a store there are no older layers to compare with. Nothing else of a push needs one.
async function readDeltaOptions(
  invocation: Invocation,
  io: Io,
): Promise<Pick<PackForAgentOptions, "data" | "store" | "effort" | "sign"> | undefined> {
  const effort = readEffort(invocation);
  const keys = invocation.flags("sign-key");
  if (effort === undefined && keys.length > 0) {
    throw new UsageError(
      cannot("use --sign-key with --no-delta", "a bundle that is sent as it is keeps its signatures"),
    );
  }
  const signing = await readPrivateKeys(keys, invocation, createWarning(io));
  const sign = signing.length === 0 ? undefined : createSigner(signing);
  if (effort === undefined) return undefined;
  const place = await openPlace(invocation, io).catch((error) => {
    const isNamed = ["data", "store"].some((flag) => invocation.flag(flag) !== undefined);
    if (error instanceof UsageError && !isNamed) return undefined;
    throw error;
  });
  return place && { ...place, effort, sign };
}

async function openPlace(
  invocation: Invocation,
  io: Io,
): Promise<Pick<PackForAgentOptions, "data" | "store"> | undefined> {
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const { data } = settings;
  const isBucket = settings.store !== undefined;
  if (!isBucket && !await Deno.stat(`${data}/${BLOBS}`).then(() => true, () => false)) return undefined;
  return { data, store: await openPlainStore(settings, io, { warn: createWarning(io), isReading: isBucket }) };
}

// Agents of crpe 0.1.0 do not report it.
function warnOfSameName(
  { name, namespace, sameNameIn }: PushResult["document"],
  warn: (message: string) => void,
): void {
  if (!Array.isArray(sameNameIn)) return;
  warn(formatSameName({ name: `${name}`, namespace: `${namespace}` }, sameNameIn.map(String)));
}

// A bundle of several packages was sent whole; what was sent is not known for each.
function resultsOf({ document, sent }: PushResult): PushResult[] {
  if (!Array.isArray(document.packages)) return [{ document, sent }];
  return document.packages.filter(isJsonObject).map((one) => ({ document: one, sent }));
}

function formatSummary({ document, sent }: PushResult, url: string, dryRun: boolean): string {
  const { name, version, verdict, installedVersion, imported, repaired, handover, manifests, part } = document;
  const { namespace = DEFAULT_NAMESPACE } = document;
  const what = `${formatPackageId({ name: `${name}`, namespace: `${namespace}` })}@${version}`;
  if (part !== undefined && !imported && !dryRun) {
    const { number, count, missing = [] } = part as { number: number; count: number; missing?: number[] };
    const rest = missing.length === 0 ? "" : `; missing: ${missing.join(", ")}`;
    return `part ${number} of ${count} of ${what} is at ${url}${rest}\n`;
  }
  if (verdict === "same" && !imported && sent.blobs === 0 && sent.bytes === 0) {
    return `${what} is installed already at ${url}; nothing to do\n`;
  }
  const done = isVerdict(verdict)
    ? formatVerdict(verdict, { isRepair: repaired === true, isDryRun: dryRun })
    : `${dryRun ? "would " : ""}${verdict}`;
  const lines = [
    `${done} ${what}${installedVersion === undefined ? "" : ` from ${installedVersion}`} at ${url}`,
  ];
  const { added = [], changed = [], removed = [], kept = [] } = (manifests ?? {}) as Partial<ManifestDiff>;
  lines.push(...formatManifestDiff({ added, changed, removed, kept }));
  lines.push(`  ${formatCount(sent.blobs, "blob")} ${dryRun ? "to send" : "sent"} (${formatSize(sent.bytes)})`);
  if (typeof handover === "string") {
    const { confirmed, remaining } = document as { confirmed?: boolean; remaining?: string[] };
    lines.push(...formatHandedOver({ where: handover, isConfirmed: confirmed === true, remaining }));
  }
  return lines.map((line) => `${line}\n`).join("");
}
