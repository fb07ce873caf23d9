import { verifyBundle } from "../bundle/verify_bundle.ts";
import { DiskStore } from "../content/disk_store.ts";
import { verifyStore } from "../content/verify_store.ts";
import type { Invocation } from "./command.ts";
import type { Io } from "./io.ts";
import { openBundle } from "./open_bundle.ts";
import { createProgress, type Progress } from "./progress.ts";
import { formatSize } from "./quantity.ts";
import { readSettings } from "./settings.ts";
import { formatJson } from "./table.ts";

const CORRUPT = 4;

/** `crpe verify`: of a bundle, or without one of the store. */
export async function runVerify(invocation: Invocation, io: Io): Promise<number> {
  const [bundle] = invocation.arguments;
  const progress = createProgress(io, "verify", { quiet: invocation.isSet("quiet") });
  return bundle === undefined
    ? await verifyData(invocation, io, progress)
    : await verifyFile(invocation, io, { bundle, progress });
}

async function verifyData(invocation: Invocation, io: Io, progress: Progress): Promise<number> {
  const { data } = await readSettings(invocation, io);
  let done = 0;
  const report = await verifyStore(data, new DiskStore(data), (bytes) => progress.update(done += bytes))
    .finally(() => progress.finish());
  if (invocation.isSet("json")) io.out(formatJson(report));
  else {
    for (const { digest, path, reason, images } of report.broken) {
      const users = images.length === 0 ? "no image needs it" : `needed by ${images.join(", ")}`;
      io.out(`${digest}: ${reason}; ${users}; remove ${data}/${path}, then pull or import it again\n`);
    }
    io.out(`${report.blobs} blobs, ${formatSize(report.bytes)}: ${countBroken(report.broken.length)}\n`);
  }
  return report.broken.length === 0 ? 0 : CORRUPT;
}

async function verifyFile(
  invocation: Invocation,
  io: Io,
  { bundle, progress }: { bundle: string; progress: Progress },
): Promise<number> {
  const report = await verifyBundle(await openBundle(bundle, io), ({ bytes }) => progress.update(bytes))
    .finally(() => progress.finish());
  if (invocation.isSet("json")) io.out(formatJson(report));
  else {
    for (const { message, images = [] } of report.problems) {
      io.out(`${message}${images.length === 0 ? "" : `; needed by ${images.join(", ")}`}\n`);
    }
    const { name, version, blobs, problems } = report;
    io.out(`${name}@${version}: ${blobs.count} blobs, ${formatSize(blobs.size)}: ${countBroken(problems.length)}\n`);
  }
  return report.problems.length === 0 ? 0 : CORRUPT;
}

function countBroken(count: number): string {
  return count === 0 ? "all sound" : `${count} broken`;
}
