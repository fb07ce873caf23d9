import { listMissingManifests, namePlatforms, selectCopy } from "../../bundle/copied_image.ts";
import type { ImageGraph } from "../../bundle/image_graph.ts";
import { cannot, CrpeError, IncompleteError, RefusedError, UsageError } from "../../oci/error.ts";
import { inlineDataOf } from "../../oci/inline_data.ts";
import { formatPlatform, type Platform } from "../../oci/platform.ts";
import { formatReference, isRepositoryPath, type Reference } from "../../oci/reference.ts";
import { ImagePusher, type ImageToPush, type PushedImage } from "../../upstream/push/push_image.ts";
import type { UpstreamEvent } from "../../upstream/transport/events.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS, UPSTREAM_FLAGS } from "../command_line/flags.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { createProgress, formatItem } from "../console/progress.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { adviseToCopyAgain } from "../console/repeat_advice.ts";
import { runSeveral, type SeveralItem } from "../console/several.ts";
import { type OpenedTarget, openPushTarget, parsePushTarget, type PushTarget } from "../wiring/open_push_target.ts";
import { listInputs, refuseOverwrite } from "../wiring/refuse_overwrite.ts";
import { type CopiedName, writeManifests } from "./copy_manifests.ts";
import { type ImageSource, isFileOperand, openCopySources } from "./copy_sources.ts";

/** `crpe copy` */
export const COMMAND: CommandDefinition = {
  interrupted: "what the registry has is not sent again; run the same command again to continue",
  details: [
    "FILE is a bundle, an archive (crpe save, skopeo oci-archive) or the folder of an OCI layout. Its name ends in .tgz,",
    ".tar, .tar.gz or .tar.zst, or is a path (./layout). An IMAGE that the store does not have comes from its registry,",
    "through the store, as in crpe pack; with --offline it fails.",
    "docker.io/library/nginx:1 becomes REGISTRY/PREFIX/library/nginx:1. Blobs that the registry has are not sent; an",
    "upload that is cut resumes where the registry allows it. One image that fails does not stop the others.",
    "An image keeps its digest. Registries refuse an index of which manifests are missing: of an image that was packed or",
    "pulled for some platforms, --platform pushes the manifest of one, or a new index of several, with other digests.",
    "The login is that of docker login or podman login, or of the configuration.",
  ].join("\n"),
  flags: [
    { name: "to", value: "REGISTRY", summary: "the registry, with a prefix of the names: registry.lan:5000/mirror" },
    ...STORE_FLAGS,
    {
      name: "manifests",
      value: "FILE",
      summary: "write the manifests of the bundle (YAML) with the new names of its images; - is stdout",
    },
    FLAG.platform,
    FLAG.noReferrers,
    { name: "dry-run", summary: "print what would be sent, send nothing" },
    ...UPSTREAM_FLAGS,
    { name: "insecure-http", summary: "send the login over plain http to another machine" },
    FLAG.json,
  ],
  examples: [
    ["crpe copy line4@1.0.0.tgz --to registry.lan:5000/mirror --manifests line4.yaml", "push a bundle's images"],
    ["crpe copy nginx:1.27 --to registry.lan:5000 --dry-run", "show what would be sent"],
  ],
  run: runCopy,
};

async function runCopy(invocation: Invocation, io: Io): Promise<number> {
  const target = parsePushTarget(invocation.flag("to"));
  const manifests = invocation.flag("manifests");
  if (manifests !== undefined && !invocation.arguments.some(isFileOperand)) {
    throw new UsageError(cannot("use --manifests", "only a bundle has manifests", "name it (PKG.tgz)"));
  }
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const warn = createWarning(io);
  const dryRun = invocation.isSet("dry-run");
  if (manifests !== undefined) {
    await refuseOverwrite([manifests], listInputs(invocation, COMMAND.flags, { output: "manifests" }));
  }
  // The manifests on standard output are not mixed with results.
  const results = manifests === "-"
    ? { ...io, out: (text: string) => io.err(text), err: (text: string) => io.err(text) }
    : io;
  let retried: string | undefined;
  await using sources = await openCopySources(invocation.arguments, settings, { io, warn });
  const { client, checkLogin } = await openPushTarget(target, {
    settings,
    io,
    warn,
    isInsecureAllowed: invocation.isSet("insecure-http"),
    onEvent: (event) => {
      const line = describeRetry(event);
      // Blobs are asked for at the same time, so that one failure of the network is that of many.
      if (line !== undefined && line !== retried) warn(line);
      retried = line ?? retried;
    },
  });
  const pusher = new ImagePusher(client, { dryRun, warn });
  const copied = new Map<string, CopiedName>();
  const names = [...sources.images.keys()];
  const run = async (name: string, { number, report }: SeveralItem) => {
    const source = sources.images.get(name)!;
    if (source instanceof Error) throw source;
    const { image, copy, graph } = await planCopy(source, {
      target,
      pusher,
      checkLogin,
      platforms: settings.platforms,
    });
    const to = formatReference(copy.to);
    // Images by digest are beside each other in a repository.
    const key = copy.to.tag === undefined ? `${to}@${copy.pushed}` : to;
    const other = copied.get(key);
    if (other !== undefined && other.pushed !== copy.pushed) {
      throw new RefusedError(
        cannot(`copy ${name}`, `${formatReference(other.from)} was copied to the same name, ${to}`),
      );
    }
    const progress = createProgress(io, "copy", {
      quiet: invocation.isSet("quiet"),
      item: formatItem(name, number, names.length),
    });
    const options = {
      blobsAtATime: source.blobsAtATime,
      onProgress(bytes: number, total: number) {
        retried = undefined;
        progress.update(bytes, total);
      },
    };
    const pushAll = async () => {
      const pushed = [await pusher.push(image, options)];
      if (invocation.isSet("no-referrers")) return pushed;
      const { graphs, problems } = await source.readAttached({ ...graph, manifests: image.manifests });
      for (const problem of problems) warn(`${name}: ${problem}`);
      for (const it of graphs) {
        const one = await pusher.push(toReferrer(it, image), options);
        if (!one.isLeftOut) pushed.push(one);
      }
      return pushed;
    };
    const pushed = await pushAll().catch((error) => {
      throw adviseToCopyAgain(error);
    }).finally(() => progress.finish());
    copied.set(key, copy);
    const [all, referrers] = [sumUp(pushed), pushed.length - 1];
    const attached = referrers === 0 ? "" : `; with ${formatCount(referrers, "referrer")}`;
    const result = {
      image: formatReference(copy.from),
      to,
      digest: copy.pushed,
      [dryRun ? "toSend" : "sent"]: { ...all.sent, manifests: all.manifests },
      present: all.present,
      referrers: referrers || undefined,
    };
    report(result, `${to}@${copy.pushed}  ${describePush(all, dryRun)}${attached}\n`);
  };
  const status = await runSeveral(names, { invocation, io: results }, run);
  if (manifests === undefined || dryRun) return status;
  if (status === 0) await writeManifests(sources.packages, { file: manifests, copied: [...copied.values()], io, warn });
  else io.err(`crpe: the manifests were not written: not all images are at ${target.host}\n`);
  return status;
}

interface Plan {
  readonly target: PushTarget;
  readonly pusher: ImagePusher;
  readonly checkLogin: OpenedTarget["checkLogin"];
  readonly platforms: readonly Platform[] | undefined;
}

async function planCopy(
  source: ImageSource,
  { target, pusher, checkLogin, platforms }: Plan,
): Promise<{ image: ImageToPush; copy: CopiedName; graph: ImageGraph }> {
  const { reference } = source;
  const name = formatReference(reference);
  const path = target.prefix === "" ? reference.path : `${target.prefix}/${reference.path}`;
  const fail = (reason: string, advice?: string) => new CrpeError(cannot(`copy ${name}`, reason, advice));
  if (!isRepositoryPath(path)) throw fail(`${target.host}/${path} is no valid name`);
  // Before the registry is asked for anything, which sends the login.
  checkLogin(path);
  const graph = await source.readGraph();
  const { where } = source;
  const selected = selectCopy(graph, platforms);
  if (selected === undefined) {
    throw fail(`${where} does not have it for ${platforms!.map(formatPlatform).join(", ")}`);
  }
  const root = selected.manifests.at(-1)?.descriptor;
  if (root === undefined) throw fail(`${where} does not have its manifest`);
  const missing = [];
  for (const child of listMissingManifests(selected.manifests)) {
    if (!await pusher.hasManifest(path, child)) missing.push(child);
  }
  if (missing.length > 0) {
    const held = graph.platforms.join(",");
    throw fail(
      `${where} does not have ${
        namePlatforms(missing).join(", ")
      } of its index, and registries refuse an index without ` +
        `all its manifests`,
      `copy what is there with --platform${held === "" ? "" : `=${held}`} (with a digest of its own)`,
    );
  }
  const blobs = selected.blobs.toSorted((a, b) => source.orderOf(a.digest) - source.orderOf(b.digest));
  const { tag, digest } = reference;
  const image: ImageToPush = {
    path,
    tag,
    manifests: selected.manifests,
    blobs,
    openBlob: async (blob, start) => {
      const body = await source.openBlob(blob.digest, start);
      if (body !== undefined) return body;
      const inline = inlineDataOf(blob);
      if (inline !== undefined) return new Blob([inline.subarray(start)]).stream();
      const reason = `${where} does not have ${blob.digest}, and neither does the registry`;
      throw new IncompleteError(cannot(`copy ${name}`, reason), [blob.digest]);
    },
  };
  const to: Reference = { host: target.host, path, tag };
  return { image, graph, copy: { from: reference, digest: digest ?? graph.digest, to, pushed: root.digest } };
}

// A referrer goes where the image went, in the order in which it is read: it is small.
function toReferrer(graph: ImageGraph, image: ImageToPush): ImageToPush {
  const { manifests, blobs } = selectCopy(graph, undefined)!;
  return { ...image, tag: graph.reference.tag, manifests, blobs };
}

function sumUp(pushed: readonly PushedImage[]): PushedImage {
  const sum = (value: (it: PushedImage) => number) => pushed.reduce((total, it) => total + value(it), 0);
  return {
    sent: { blobs: sum(({ sent }) => sent.blobs), bytes: sum(({ sent }) => sent.bytes) },
    present: sum(({ present }) => present),
    manifests: sum(({ manifests }) => manifests),
  };
}

function describeRetry(event: UpstreamEvent): string | undefined {
  if (event.type !== "retry" && event.type !== "resume") return undefined;
  const seconds = Math.ceil(event.delay / 1000);
  const position = event.type === "resume" ? ` after ${formatSize(event.offset)}` : "";
  return `${event.host}: ${event.reason}${position}; trying again in ${seconds} s`;
}

function describePush({ sent, present, manifests }: PushedImage, dryRun: boolean): string {
  const had = present === 0 ? "" : `; ${formatCount(present, "blob")} ${present === 1 ? "is" : "are"} there`;
  if (sent.blobs === 0 && manifests === 0) return `nothing to send${had}`;
  return `${formatCount(sent.blobs, "blob")} ${dryRun ? "to send" : "sent"} (${formatSize(sent.bytes)})${had}`;
}
