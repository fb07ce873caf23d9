import { ImagePins, pinOf } from "../../install/image_pins.ts";
import { PackageRecords } from "../../install/package_records.ts";
import { repositoryOf } from "../../oci/reference.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Command, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import { readReference } from "../command_line/read_reference.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { runSeveral, type SeveralItem } from "../console/several.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { cannot, CrpeError, UsageError } from "../../oci/error.ts";

/** `crpe images pin` */
export const PIN_IMAGES: Command = {
  name: "pin",
  operands: "IMAGE…",
  summary: "protect images from eviction by the size limit (--cache-max)",
  interrupted: "not every image may be pinned; run the same command again",
  flags: [FLAG.data, FLAG.json],
  examples: [["crpe images pin registry.lan/line4/hmi:2.0", "never evict an image"]],
  run: runPinImages,
};

/** `crpe images unpin` */
export const UNPIN_IMAGES: Command = {
  name: "unpin",
  operands: "IMAGE…",
  summary: "allow the eviction of pinned images again",
  interrupted: "not every image may be unpinned; run the same command again",
  flags: [FLAG.data, FLAG.json],
  examples: [["crpe images unpin registry.lan/line4/hmi:2.0", "let it be evicted again"]],
  run: runUnpinImages,
};

async function runPinImages(invocation: Invocation, io: Io): Promise<number> {
  const data = await readPinnedFolder(invocation, io);
  const store = new DiskStore(data, { isReadOnly: true });
  return await changePins(invocation, io, async (pins, name) => {
    const reference = readReference(name);
    const pin = pinOf(reference);
    pins.add(pin);
    if (await store.resolve(repositoryOf(reference), reference.tag ?? reference.digest ?? "latest") === undefined) {
      createWarning(io)(`${pin} is not in the store yet; it is kept once it is pulled`);
    }
    return pin;
  });
}

async function runUnpinImages(invocation: Invocation, io: Io): Promise<number> {
  return await changePins(invocation, io, (pins, name) => {
    const pin = pinOf(readReference(name));
    if (!pins.delete(pin)) throw new CrpeError(cannot(`unpin ${pin}`, "it is not pinned", "crpe images shows what is"));
    return Promise.resolve(pin);
  });
}

/** Reads the data folder. @throws {UsageError} where the store is a bucket */
async function readPinnedFolder(invocation: Invocation, io: Io): Promise<string> {
  const { data, store } = await readSettings(invocation, io, { canUseBucket: true });
  if (store === undefined) return data;
  throw new UsageError(
    cannot(
      `change the pins of ${store}`,
      "nothing is evicted from a bucket, and a tag keeps its image there",
      "unset CRPE_STORE or store for those of the data folder",
    ),
  );
}

async function changePins(
  invocation: Invocation,
  io: Io,
  change: (pins: Set<string>, name: string) => Promise<string>,
): Promise<number> {
  const data = await readPinnedFolder(invocation, io);
  await warnOfData(data, io);
  invocation.arguments.forEach(readReference);
  using _lease = await takeWriteLease(data);
  // Any number of writers can hold a lease, and two of them must not read the same list.
  await using _lock = await new PackageRecords(data).lock();
  const record = new ImagePins(data);
  const pins = new Set(await record.list());
  const run = async (name: string, { report }: SeveralItem) => {
    const reference = await change(pins, name);
    const pinned = pins.has(reference);
    report({ reference, pinned }, `${pinned ? "pinned" : "unpinned"} ${reference}\n`);
  };
  const status = await runSeveral(invocation.arguments, { invocation, io }, run);
  await record.write(pins);
  return status;
}
