import { PackageRecords } from "../agent/package_records.ts";
import { removePackage } from "../agent/remove_package.ts";
import { forgetImages } from "../content/forget_images.ts";
import { takeWriteLease } from "../content/write_lease.ts";
import { createHandover, readHandoverPlace } from "./choose_handover.ts";
import type { Invocation } from "./command.ts";
import { findInstalledPackage } from "./installed_package.ts";
import type { Io } from "./io.ts";
import { formatTime, parseDuration } from "./quantity.ts";
import { readSettings } from "./settings.ts";
import { formatJson } from "./table.ts";

/** `crpe packages remove` */
export async function runRemovePackage(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const records = new PackageRecords(data);
  const [name = ""] = invocation.arguments;
  const given = readHandoverPlace(invocation);
  const wait = parseDuration(invocation.flag("wait") ?? "20s", "--wait");
  const waitForWatcher = async () => {
    if (!invocation.isSet("quiet")) {
      io.err(`waiting ${formatTime(wait)} for the cluster to see that the manifests of ${name} are gone\n`);
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  };
  await findInstalledPackage(records, name);
  using _lease = await takeWriteLease(data);
  const { version, handedOver, untagged } = await removePackage(name, {
    records,
    openHandover: (recorded) => {
      const place = given ?? recorded;
      return place === undefined ? undefined : createHandover(place, { records, waitForWatcher });
    },
    forgetImages: (images, keep) => forgetImages(data, images, keep),
  });
  if (invocation.isSet("json")) {
    io.out(formatJson({ name, version, handover: handedOver?.where, left: handedOver?.left, untagged }));
    return 0;
  }
  const lines = [
    `removed ${name}@${version}`,
    handedOver === undefined
      ? "  the cluster was left alone: the package was not handed over"
      : `  its objects were removed from ${handedOver.where}`,
    ...(handedOver?.left ?? []).map((object) =>
      `  left in the cluster, another package has it too or lives in it: ${object}`
    ),
    ...untagged.map((reference) => `  - ${reference}`),
    "  crpe gc frees the space of its images",
  ];
  io.out(lines.map((line) => `${line}\n`).join(""));
  return 0;
}
