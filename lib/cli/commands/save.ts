import { selectPlatforms } from "../../bundle/archive_images.ts";
import { readHeldImage } from "../../bundle/held_images.ts";
import { type ImageArchive, planImageArchive } from "../../bundle/image_archive.ts";
import type { ImageGraph } from "../../bundle/image_graph.ts";
import type { BundleOutput } from "../../bundle/write_bundle.ts";
import { findAttachedImages } from "../../bundle/referrer_graphs.ts";
import { createSink, SHARED_MODE, writeBundleFile } from "../../bundle/write_bundle_file.ts";
import { formatPlatform, type Platform } from "../../oci/platform.ts";
import { formatReference, withDefaultTag } from "../../oci/reference.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import { readReference } from "../command_line/read_reference.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import { UnfinishedFile } from "../console/interruption.ts";
import type { Io } from "../console/io.ts";
import { createProgress, type Progress } from "../console/progress.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { runSeveral } from "../console/several.ts";
import { formatJson } from "../console/table.ts";
import { limitLines } from "../console/warning_text.ts";
import { warnOfData } from "../wiring/check_data.ts";
import type { AnyStore } from "../wiring/open_store.ts";
import { openPlainStore } from "../wiring/open_packages.ts";
import { listInputs, refuseOverwrite } from "../wiring/refuse_overwrite.ts";
import { cannot, CrpeError, UsageError } from "../../oci/error.ts";

/** `crpe save` */
export const COMMAND: CommandDefinition = {
  interrupted: "no archive was written; run the same command again",
  details: [
    "The archive is an OCI image layout that also has docker's manifest.json. It has the platforms of --platform, else all",
    "that the store holds. Nothing is downloaded: crpe pull does that. Standard output must not be a terminal.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    { name: "output", short: "o", value: "FILE", summary: "the archive [-, standard output]" },
    FLAG.platform,
    FLAG.noReferrers,
    FLAG.json,
  ],
  examples: [
    ["crpe save nginx:1.27 redis:7 -o images.tar", "write two images for docker load"],
    ["crpe save nginx:1.27 | ssh node1 docker load", "write to standard output"],
  ],
  run: runSave,
};

async function runSave(invocation: Invocation, io: Io): Promise<number> {
  const path = invocation.flag("output") ?? "-";
  if (path === "-" && io.isOutputTerminal) {
    throw new UsageError(cannot("save to a terminal", "name the archive with -o FILE, or pipe standard output"));
  }
  invocation.arguments.forEach(readReference);
  await refuseOverwrite([path], listInputs(invocation, COMMAND.flags, { operands: [] }));
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const { data, platforms } = settings;
  if (settings.store === undefined) await warnOfData(data, io);
  using _lease = await takeWriteLease(data);
  const store = await openPlainStore(settings, io, {
    warn: createWarning(io),
    isReading: settings.store !== undefined,
  });
  const graphs = new Map<string, ImageGraph>();
  const run = async (name: string) => {
    const graph = await readHeldImage(withDefaultTag(readReference(name)), store, "save");
    graphs.set(formatReference(graph.reference), graph);
  };
  const status = await runSeveral(invocation.arguments, { invocation, io, asJson: false }, run);
  if (status !== 0) {
    // An archive without them would be noticed where it is loaded.
    const what = path === "-" ? "the archive" : path;
    if (invocation.arguments.length > 1) io.err(`crpe: ${what} was not written, because it would lack them\n`);
    return status;
  }
  const attached = invocation.isSet("no-referrers") ? [] : await findAttached([...graphs.values()], {
    store,
    platforms: platforms ?? "all",
    warn: createWarning(io),
  });
  const archive = await planImageArchive([...graphs.values(), ...attached], store, platforms ?? "all");
  const [skipped] = archive.skipped;
  if (skipped !== undefined) {
    const wanted = platforms?.map(formatPlatform).join(", ");
    throw new CrpeError(
      cannot(`save ${skipped}`, `the store does not have it for ${wanted}`, `pull it first (crpe pull ${skipped})`),
    );
  }
  if (archive.notForDocker.length > 0) {
    const names = limitLines(archive.notForDocker).join(", ");
    createWarning(io)(`docker load and podman load leave out what is no image, or lacks layers: ${names}`);
  }
  const progress = createProgress(io, "save", {
    quiet: invocation.isSet("quiet"),
    item: archive.images.length === 1 ? archive.images[0] : formatCount(archive.images.length, "image"),
  });
  await writeArchive(archive, path, progress).finally(() => progress.finish());
  const referrers = attached.length;
  const result = {
    file: path,
    size: archive.size,
    images: archive.images,
    referrers: referrers || undefined,
  };
  if (invocation.isSet("json")) (path === "-" ? io.err : io.out)(formatJson(result));
  else if (path !== "-") {
    const columns = [path, formatSize(archive.size), archive.images.join(" ")];
    if (referrers > 0) columns.push(formatCount(referrers, "referrer"));
    io.out(`${columns.join("  ")}\n`);
  }
  return 0;
}

// Several tags of one image have the same referrers.
async function findAttached(
  graphs: readonly ImageGraph[],
  { store, platforms, warn }: {
    readonly store: AnyStore;
    readonly platforms: readonly Platform[] | "all";
    readonly warn: (message: string) => void;
  },
): Promise<ImageGraph[]> {
  const found = new Map<string, ImageGraph>();
  for (const graph of graphs) {
    const { reference } = graph;
    const manifests = selectPlatforms(graph, platforms)?.manifests ?? [];
    const attached = await findAttachedImages({ reference, manifests }, { source: store, catalog: store });
    for (const problem of attached.problems) warn(`${formatReference(reference)}: ${problem}`);
    for (const it of attached.graphs) found.set(`${formatReference(it.reference)} ${it.digest}`, it);
  }
  return [...found.values()];
}

async function writeArchive(archive: ImageArchive, path: string, progress: Progress): Promise<void> {
  const write = async (output: BundleOutput) => {
    // The partial file of a save that was killed may be of other images.
    await output.partial?.cut(0);
    let done = 0;
    const put = async (piece: Uint8Array) => {
      await output.write(piece);
      progress.update(done += piece.length, archive.size);
    };
    await put(archive.head);
    for await (const piece of archive.readBody()) await put(piece);
  };
  if (path === "-") await write(createSink(Deno.stdout, "standard output"));
  else {
    const advice = "save fewer images into one file, or use a stick with exFAT";
    using unfinished = new DisposableStack();
    const onBegin = (partial: string) => void unfinished.use(new UnfinishedFile(partial));
    await writeBundleFile(path, write, { size: archive.size, mode: SHARED_MODE, advice, onBegin });
  }
}
