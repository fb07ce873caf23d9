import { measureUsage, type StoreUsage, summarizeUsage } from "../../cache/image_usage.ts";
import { type Digest, splitDigest } from "../../oci/digest.ts";
import { listPartialBlobs } from "../../store/partial_files.ts";
import type { Command, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import { readSettings, type Settings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatSize } from "../console/quantity.ts";
import { formatJson, formatTable } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";

/** `crpe images du` */
export const IMAGE_USAGE: Command = {
  name: "du",
  operands: "",
  summary: "show the disk space of each image, and what it shares with others",
  interrupted: "nothing was changed",
  details: "In a bucket (--store), only images with a tag are listed, and what no tag reaches is added up.",
  flags: [...STORE_FLAGS, FLAG.json],
  examples: [["crpe images du", "show which images use the disk"]],
  run: runImageUsage,
};

async function runImageUsage(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const { data, store } = settings;
  if (store === undefined) await warnOfData(data, io);
  const usage = store === undefined ? await measureUsage(data) : await measureBucket({ ...settings, store }, io);
  const partial = (await listPartialBlobs(data)).reduce((sum, { size }) => sum + size, 0);
  if (invocation.isSet("json")) {
    io.out(formatJson({ ...usage, partial }));
    return 0;
  }
  const rows = usage.images.map(({ references, digest, size, unique }) => [
    references.join(" ") || "(no tag)",
    splitDigest(digest).hex.slice(0, 12),
    formatSize(size),
    formatSize(size - unique),
    formatSize(unique),
  ]);
  io.out(formatTable(["IMAGE", "DIGEST", "SIZE", "SHARED", "UNIQUE"], rows));
  const unreferenced = store === undefined
    ? "unreferenced (crpe gc frees it)"
    : "of no tag (crpe gc --untagged frees what no package needs)";
  const rest = [
    `${formatSize(usage.total)} in the store`,
    ...(usage.unreferenced === 0 ? [] : [`${formatSize(usage.unreferenced)} of it ${unreferenced}`]),
    // With a bucket, crpe gc does not look into the data folder.
    ...(partial === 0 || store !== undefined
      ? []
      : [`${formatSize(partial)} of partial downloads (crpe gc --partial frees it)`]),
  ];
  io.out(`${rest.join("; ")}\n`);
  return 0;
}

async function measureBucket(settings: Settings & { readonly store: string }, io: Io): Promise<StoreUsage> {
  const { openObjectStore } = await import("../wiring/open_object_store.ts");
  const { listBucketImages } = await import("../../object_store/list_bucket_images.ts");
  const { walkBlobs } = await import("../../object_store/walk_blobs.ts");
  const options = { io, warn: createWarning(io), isReading: true };
  const { client, store } = await openObjectStore(settings.store, settings, options);
  const sizes = new Map<Digest, number>();
  for await (const { digest, size } of walkBlobs(client)) sizes.set(digest, size);
  return summarizeUsage(await listBucketImages(client, store), sizes);
}
