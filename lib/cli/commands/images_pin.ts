import { ImagePins, pinOf } from "../../install/image_pins.ts";
import { PackageRecords } from "../../install/package_records.ts";
import { repositoryOf } from "../../oci/reference.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import { readReference } from "../command_line/read_reference.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { type ReportResult, runSeveral } from "../console/several.ts";
import { warnOfData } from "../wiring/check_data.ts";

/** `crpe images pin` */
export async function runPinImages(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
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

/** `crpe images unpin` */
export async function runUnpinImages(invocation: Invocation, io: Io): Promise<number> {
  return await changePins(invocation, io, (pins, name) => {
    const pin = pinOf(readReference(name));
    if (!pins.delete(pin)) throw new Error(`Cannot unpin ${pin}: it is not pinned; crpe images shows what is`);
    return Promise.resolve(pin);
  });
}

async function changePins(
  invocation: Invocation,
  io: Io,
  change: (pins: Set<string>, name: string) => Promise<string>,
): Promise<number> {
  const { data } = await readSettings(invocation, io);
  await warnOfData(data, io);
  const asJson = invocation.isSet("json");
  invocation.arguments.forEach(readReference);
  using _lease = await takeWriteLease(data);
  // Any number of writers can hold a lease, and two of them must not read the same list.
  await using _lock = await new PackageRecords(data).lock();
  const record = new ImagePins(data);
  const pins = new Set(await record.list());
  const run = async (name: string, report: ReportResult) => {
    const reference = await change(pins, name);
    if (!asJson) io.out(`${pins.has(reference) ? "pinned" : "unpinned"} ${reference}\n`);
    report({ reference, pinned: pins.has(reference) });
  };
  const status = await runSeveral(invocation.arguments, io, { run, asJson, isDebug: invocation.isSet("debug") });
  await record.write(pins);
  return status;
}
