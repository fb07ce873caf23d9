import { ImagePins } from "../../install/image_pins.ts";
import { RecordError } from "../../install/records/record_file.ts";
import { splitDigest } from "../../oci/digest.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { type TaggedImage, walkTaggedImages } from "../../store/list_images.ts";
import { listPartialBlobs } from "../../store/partial_files.ts";
import { sumBlobSizes } from "../../store/store_scan.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import { readSettings, type Settings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatCount, formatDate, formatSize } from "../console/quantity.ts";
import { formatJson, formatJsonList, formatLongTable, formatTable } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { IMAGE_USAGE } from "./images_du.ts";
import { PIN_IMAGES, UNPIN_IMAGES } from "./images_pin.ts";
import { REMOVE_IMAGES } from "./images_rm.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** `crpe images` and its subcommands */
export const COMMAND: CommandDefinition = {
  interrupted: "nothing was changed",
  details: [
    "--partial lists the received parts of interrupted downloads, from which they resume. Such a file is removed two weeks",
    "after it was last written to, or at once by crpe gc --partial.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    { name: "partial", summary: "list the partial files of downloads instead" },
    FLAG.json,
  ],
  subcommands: [REMOVE_IMAGES, IMAGE_USAGE, PIN_IMAGES, UNPIN_IMAGES],
  examples: [["crpe images --data=/srv/crpe", "list the images of a data folder"]],
  run: runImages,
};

// Each image is listed once, so that only content that several tags of a repository have in common is read again.
const CACHE_BYTES = 1024 * 1024;
// Each image takes several requests, which take longer than their work.
const BUCKET_WALK = { atOnce: 8 };

async function runImages(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  if (settings.store !== undefined) return await printBucket(invocation, io, { ...settings, store: settings.store });
  const { data } = settings;
  await warnOfData(data, io);
  if (invocation.isSet("partial")) return await printPartial(data, invocation.isSet("json"), io);
  const pins = await readPins(data, io);
  const store = new DiskStore(data, { warn: createWarning(io), isReadOnly: true, cacheBytes: CACHE_BYTES });
  if (invocation.isSet("json")) {
    for await (const text of formatJsonList(walkPinned(store, pins))) io.out(text);
    return 0;
  }
  const count = await printTable(walkPinned(store, pins), io, pins?.size !== 0);
  if (!invocation.isSet("quiet")) {
    io.err(`crpe: ${formatCount(count, "image")}, ${formatSize(await sumBlobSizes(data))} in the store\n`);
  }
  return 0;
}

async function printBucket(invocation: Invocation, io: Io, settings: Settings & { store: string }): Promise<number> {
  if (invocation.isSet("partial")) {
    throw new UsageError(cannot("use --partial with a store on object storage", "partial files are in a data folder"));
  }
  const { openObjectStore } = await import("../wiring/open_object_store.ts");
  const { store, name } = await openObjectStore(settings.store, settings, {
    io,
    warn: createWarning(io),
    isReading: true,
  });
  if (invocation.isSet("json")) {
    for await (const text of formatJsonList(walkTaggedImages(store, BUCKET_WALK))) io.out(text);
    return 0;
  }
  const count = await printTable(walkTaggedImages(store, BUCKET_WALK), io, false);
  if (!invocation.isSet("quiet")) io.err(`crpe: ${formatCount(count, "image")} in ${name}\n`);
  return 0;
}

type PrintedImage = TaggedImage & { readonly isPinned?: boolean | undefined };

/** Prints images as a table. @returns their number */
async function printTable(images: AsyncIterable<PrintedImage>, io: Io, hasPins: boolean): Promise<number> {
  let count = 0;
  async function* formatImages(): AsyncGenerator<string[]> {
    for await (const image of images) {
      count++;
      const cells = formatCells(image);
      yield hasPins ? [...cells, image.isPinned === undefined ? "?" : image.isPinned ? "yes" : "-"] : cells;
    }
  }
  const headings = ["IMAGE", "DIGEST", "PLATFORMS", "SIZE", "TAGGED (UTC)", "COMPLETE"];
  if (hasPins) headings.push("PINNED");
  for await (const text of formatLongTable(headings, formatImages())) io.out(text);
  return count;
}

function formatCells({ reference, digest, platforms, size, tagged, isComplete }: PrintedImage): string[] {
  return [
    reference,
    splitDigest(digest).hex.slice(0, 12),
    platforms.join(",") || "-",
    formatSize(size),
    formatDate(tagged),
    isComplete ? "yes" : "no",
  ];
}

// Another user can read the images of a data folder, but not its records. Then it is not known what is pinned.
async function readPins(data: string, io: Io): Promise<ReadonlySet<string> | undefined> {
  try {
    return new Set(await new ImagePins(data).list());
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    createWarning(io)(`${error.message}; it is not known which images are pinned`);
    return undefined;
  }
}

async function* walkPinned(
  store: DiskStore,
  pins: ReadonlySet<string> | undefined,
): AsyncGenerator<TaggedImage & { readonly isPinned: boolean | undefined }> {
  for await (const image of walkTaggedImages(store)) yield { ...image, isPinned: pins?.has(image.reference) };
}

async function printPartial(data: string, asJson: boolean, io: Io): Promise<number> {
  const partial = await listPartialBlobs(data);
  if (asJson) {
    io.out(formatJson(partial));
    return 0;
  }
  const rows = partial.map(({ digest, size, written, isInUse }) => [
    digest,
    formatSize(size),
    formatDate(written),
    isInUse ? "yes" : "no",
  ]);
  io.out(formatTable(["BLOB", "RECEIVED", "LAST WRITTEN (UTC)", "IN USE"], rows));
  return 0;
}
