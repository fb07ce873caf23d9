import { measureFreed } from "../../cache/image_usage.ts";
import { collectKeptDigests } from "../../install/image_pins.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { collectGarbage } from "../../store/gc.ts";
import type { Command, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import { readReference } from "../command_line/read_reference.ts";
import { readSettings, type Settings } from "../command_line/settings.ts";
import { createWarning, describeError } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatSize } from "../console/quantity.ts";
import { runSeveral, type SeveralItem } from "../console/several.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { openAudit } from "../wiring/open_audit.ts";
import { openPackages } from "../wiring/open_packages.ts";
import { removeImage } from "../wiring/remove_image.ts";
import { untagImage } from "../wiring/untag_image.ts";
import { cannot, CrpeError } from "../../oci/error.ts";

/** `crpe images rm` */
export const REMOVE_IMAGES: Command = {
  name: "rm",
  operands: "IMAGE…",
  summary: "remove images from the store, and free their space",
  interrupted:
    "images that were named as removed are gone; run the same command for the others, and crpe gc to free the space",
  details: [
    "An image that a package needs (also one that is kept for a rollback), or that is pinned, is refused (exit status 3).",
    "Content that other images have stays. In a bucket (--store), the cosign signatures of the image go with it, and",
    "crpe gc --untagged frees the space.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    { name: "dry-run", summary: "print what would be removed, remove nothing" },
    FLAG.json,
  ],
  examples: [["crpe images rm nginx:1.27 --dry-run", "show what the removal of an image would free"]],
  run: runRemoveImages,
};

async function runRemoveImages(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const { data } = settings;
  if (settings.store === undefined) await warnOfData(data, io);
  const [asJson, dryRun] = [invocation.isSet("json"), invocation.isSet("dry-run")];
  invocation.arguments.forEach(readReference);
  const removed: string[] = [];
  const place = settings.store === undefined ? undefined : await openBucketPlace(settings, io, dryRun);
  const { log, by } = await openAudit(data, createWarning(io));
  const run = async (name: string, { report }: SeveralItem) => {
    const reference = readReference(name);
    const remove = async () =>
      place === undefined
        ? await removeImage(reference, data, { dryRun })
        : await untagImage(reference, place, { dryRun });
    const entry = { action: "image-removal", by, image: name };
    const full = dryRun ? await remove() : await log.run(entry, remove, { isFreeing: true });
    removed.push(full);
    report({ reference: full, removed: !dryRun }, `${dryRun ? "would remove" : "removed"} ${full}\n`);
  };
  const status = await runSeveral(invocation.arguments, { invocation, io }, run);
  if (removed.length === 0) return status;
  if (place !== undefined) {
    if (!dryRun && !asJson) io.out("crpe gc --untagged frees the space of what is older than a day\n");
    return status;
  }
  if (dryRun) {
    if (!asJson) io.out(`would free ${formatSize(await measureFreed(data, removed))}\n`);
    return status;
  }
  try {
    const { bytes } = await collectGarbage(data, { readKeep: () => collectKeptDigests(data) });
    if (!asJson) io.out(`${formatSize(bytes)} freed\n`);
  } catch (error) {
    createWarning(io)(`the space is not freed yet: ${describeError(error)}; crpe gc does it`);
  }
  return status;
}

async function openBucketPlace(settings: Settings, io: Io, isReading: boolean) {
  const { store, records } = await openPackages(settings, io, { warn: createWarning(io), isReading });
  if (store instanceof DiskStore) throw new CrpeError(cannot("remove from a bucket", "the store is in a data folder"));
  return { store, records };
}
