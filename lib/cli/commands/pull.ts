import type { ResolvedImage } from "../../bundle/bundle_plan.ts";
import { describeForeignLayers } from "../../bundle/check_package.ts";
import { MAX_IMAGE_LIST_BYTES, parseImageList } from "../../bundle/image_list.ts";
import { readBounded } from "../../bytes/read_bounded.ts";
import { formatReference } from "../../oci/reference.ts";
import { sweepStale } from "../../store/data_folder.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, PLATFORM_DETAILS, STORE_FLAGS, UPSTREAM_FLAGS } from "../command_line/flags.ts";
import { readReference, readRepository } from "../command_line/read_reference.ts";
import { readSettings, type Settings } from "../command_line/settings.ts";
import { parseTagGlob } from "../command_line/tag_glob.ts";
import { createWarning, describeError } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { createProgress, formatItem } from "../console/progress.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { runSeveral, type SeveralItem } from "../console/several.ts";
import { formatJson } from "../console/table.ts";
import { limitLines, printWarnings } from "../console/warning_text.ts";
import { reportWriter, warnOfData } from "../wiring/check_data.ts";
import { nameOfBundle, openFile } from "../wiring/open_bundle.ts";
import { listTags } from "../wiring/list_tags.ts";
import { openAnyStore } from "../wiring/open_store.ts";
import { checkRoom, createImageResolver, downloadImage } from "../wiring/pull_image.ts";
import { formatImage } from "../console/image_text.ts";
import { cannot, CrpeError, UsageError } from "../../oci/error.ts";

/** `crpe pull` */
export const COMMAND: CommandDefinition = {
  interrupted: "what was received is kept; run the same command again to resume",
  details: [
    "Without --platform, everything that an image's index lists is pulled.",
    PLATFORM_DETAILS,
    "With --tags, IMAGE is one repository without a tag: nginx --tags '1.27*'. An image that fails does not stop the others.",
  ].join("\n"),
  arity: [0, Infinity],
  flags: [
    ...STORE_FLAGS,
    {
      name: "file",
      short: "f",
      value: "FILE",
      summary: "pull the images that FILE lists too, one on a line; - is standard input",
    },
    {
      name: "tags",
      value: "GLOB",
      summary: "pull all tags of a repository that match: * is any text, ? any character",
    },
    FLAG.platform,
    FLAG.noReferrers,
    ...UPSTREAM_FLAGS,
    FLAG.json,
  ],
  examples: [
    ["crpe pull nginx:1.27", "pull an image for all its platforms"],
    ["crpe pull quay.io/prometheus/node-exporter:v1.8.2 --platform=linux/arm64", "pull it for one platform"],
    ["crpe pull nginx --tags='1.27.*'", "pull all tags that match"],
  ],
  run: runPull,
};

async function runPull(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const { names, isPartial } = await listNames(invocation, settings, io);
  names.forEach(readReference);
  // The data folder then has the downloads in progress only.
  const isBucket = settings.store !== undefined;
  if (!isBucket) await warnOfData(settings.data, io, { isReading: false });
  reportWriter(settings.data, io);
  using _lease = await takeWriteLease(settings.data);
  await sweepStale(settings.data);
  // A pull is also the way to replace corrupt content, so what the store has is hashed.
  const { source, store } = await openAnyStore(settings, io, { warn: createWarning(io), isHashing: true });
  const asJson = invocation.isSet("json");
  const warn = createWarning(io);
  const resolve = createImageResolver(source, {
    platforms: settings.platforms,
    withoutReferrers: invocation.isSet("no-referrers"),
    warn,
  });
  // All are resolved before the first is downloaded: together they need space.
  const images = new Map<string, ResolvedImage | Error>();
  for (const name of names) {
    images.set(name, await resolve(readReference(name)).catch((error: Error) => error));
  }
  const found = [...images.values()].filter((it): it is ResolvedImage => !(it instanceof Error));
  const roomFor = isBucket ? Promise.resolve() : checkRoom(settings.data, found);
  await roomFor.catch((noRoom) => {
    const reasonOf = (name: string) => images.get(name) instanceof Error ? images.get(name) : noRoom;
    if (asJson) io.out(formatJson(names.map((item) => ({ item, error: describeError(reasonOf(item)) }))));
    throw noRoom;
  });
  const run = async (name: string, { number, report }: SeveralItem) => {
    const image = images.get(name)!;
    if (image instanceof Error) throw image;
    printWarnings(describeForeignLayers(image).map(({ message }) => message), "warning", io);
    const progress = createProgress(io, "pull", {
      quiet: invocation.isSet("quiet"),
      item: formatItem(name, number, names.length),
    });
    const summary = await downloadImage(image, {
      source,
      store,
      onProgress: (bytes, total) => progress.update(bytes, total),
      warn,
    }).finally(() => progress.finish());
    const { reference, digest, size, platforms, referrers = 0 } = summary;
    const attached = referrers === 0 ? [] : [formatCount(referrers, "referrer")];
    const columns = [formatImage(reference, digest), formatSize(size), platforms.join(","), ...attached];
    report(summary, `${columns.join("  ").trimEnd()}\n`);
  };
  const status = await runSeveral(names, { invocation, io }, run);
  return isPartial ? Math.max(status, 1) : status;
}

/** The images to pull; some may be missing where a registry did not list all its tags. */
interface Wanted {
  readonly names: readonly string[];
  readonly isPartial?: boolean;
}

async function listNames(invocation: Invocation, settings: Settings, io: Io): Promise<Wanted> {
  const file = invocation.flag("file");
  const glob = invocation.flag("tags");
  if (glob !== undefined) return await listMatching(glob, invocation, { settings, io });
  if (file === undefined && invocation.arguments.length === 0) {
    throw new UsageError(cannot("pull nothing", "name an image, or a list of images with --file FILE"));
  }
  if (file === undefined) return { names: invocation.arguments };
  const what = nameOfBundle(file);
  const list = await readBounded(await openFile(file, io), what, MAX_IMAGE_LIST_BYTES);
  return { names: [...invocation.arguments, ...parseImageList(list, what)] };
}

async function listMatching(
  glob: string,
  invocation: Invocation,
  { settings, io }: { readonly settings: Settings; readonly io: Io },
): Promise<Wanted> {
  const [named, ...others] = invocation.arguments;
  if (invocation.flag("file") !== undefined) {
    throw new UsageError(cannot("use --tags with --file", "the images of a list are named whole"));
  }
  if (named === undefined || others.length > 0) {
    throw new UsageError(
      cannot(`use --tags with ${formatCount(invocation.arguments.length, "operand")}`, "name one repository"),
    );
  }
  const [repository, isWanted] = [readRepository(named), parseTagGlob(glob)];
  const list = await listTags(repository, settings, io);
  const tags = list.tags.filter(isWanted);
  const count = `${formatCount(tags.length, "tag")} of ${list.repository} (${list.tags.length} in all)`;
  if (tags.length === 0) {
    throw new CrpeError(cannot(`pull ${glob}`, `it matches ${count}`, `crpe tags ${list.repository} lists them`));
  }
  if (!invocation.isSet("quiet")) io.err(`crpe: pulling ${count}: ${limitLines(tags).join(", ")}\n`);
  const { host, path } = repository;
  return { names: tags.map((tag) => formatReference({ host, path, tag })), isPartial: list.isPartial };
}
