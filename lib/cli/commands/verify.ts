import { verifyBundle } from "../../bundle/verify_bundle.ts";
import { PackageRecords } from "../../install/package_records.ts";
import type { RecordError } from "../../install/records/record_file.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import type { Digest } from "../../oci/digest.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { verifyStore } from "../../store/verify_store.ts";
import type { Invocation } from "../command_line/command.ts";
import { readSettings } from "../command_line/settings.ts";
import { toOneLine } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { createProgress, type Progress } from "../console/progress.ts";
import { formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { nameOfBundle, openBundle } from "../wiring/open_bundle.ts";

const FAILED = 1;
const CORRUPT = 4;

/** `crpe verify`: verifies a bundle, or the store when no bundle is given. */
export async function runVerify(invocation: Invocation, io: Io): Promise<number> {
  const [bundle] = invocation.arguments;
  const progress = createProgress(io, "verify", { quiet: invocation.isSet("quiet") });
  return bundle === undefined
    ? await verifyData(invocation, io, progress)
    : await verifyFile(invocation, io, { bundle, progress });
}

async function verifyData(invocation: Invocation, io: Io, progress: Progress): Promise<number> {
  const { data } = await readSettings(invocation, io);
  if (!(await Deno.stat(data)).isDirectory) throw new Error(`Cannot verify ${data}: it is not a folder`);
  let done = 0;
  const records = new PackageRecords(data);
  const problems: RecordError[] = [];
  for (const id of await records.listIds()) problems.push(...await records.listProblems(id));
  const verified = await verifyStore(data, new DiskStore(data), {
    required: (await records.list()).flatMap(requirementsOf),
    onProgress: (bytes) => progress.update(done += bytes),
  }).finally(() => progress.finish());
  const report = {
    ...verified,
    records: problems.map(({ path, message }) => ({ path: path.slice(data.length + 1), reason: toOneLine(message) })),
  };
  const { broken, unread } = verified;
  if (invocation.isSet("json")) io.out(formatJson(report));
  else {
    for (const { digest, path, reason, images } of broken) {
      const users = images.length === 0 ? "no image needs it" : `needed by ${images.join(", ")}`;
      io.out(`${digest}: ${reason}; ${users}; remove ${data}/${path} if it exists, then pull or import it again\n`);
    }
    for (const { reason } of report.records) io.out(`${reason}\n`);
    for (const { path, reason } of unread) io.out(`${data}/${path}: could not be read: ${toOneLine(reason)}\n`);
    const rest = unread.length === 0 ? "" : `, ${unread.length} not read`;
    io.out(
      `${report.blobs} blobs, ${formatSize(report.bytes)}: ${countBroken(broken.length + problems.length)}${rest}\n`,
    );
  }
  return broken.length + problems.length > 0 ? CORRUPT : unread.length > 0 ? FAILED : 0;
}

function requirementsOf({ status }: KubePkg): { digest: Digest; size: number; image: string }[] {
  return (status?.digests ?? []).map(({ digest, size, name, tag }) => {
    return { digest, size, image: tag === undefined ? name : `${name}:${tag}` };
  });
}

async function verifyFile(
  invocation: Invocation,
  io: Io,
  { bundle, progress }: { bundle: string; progress: Progress },
): Promise<number> {
  const report = await verifyBundle(await openBundle(bundle, io), {
    what: nameOfBundle(bundle),
    onProgress: ({ bytes }) => progress.update(bytes),
  }).finally(() => progress.finish());
  const { packages, blobs, problems } = report;
  if (invocation.isSet("json")) {
    const [only, ...others] = packages;
    io.out(formatJson({ ...(others.length === 0 ? only : { packages }), blobs, problems }));
  } else {
    for (const { message, images = [] } of problems) {
      io.out(`${message}${images.length === 0 ? "" : `; needed by ${images.join(", ")}`}\n`);
    }
    const names = packages.map(({ name, version }) => `${name}@${version}`).join(", ");
    io.out(`${names}: ${blobs.count} blobs, ${formatSize(blobs.size)}: ${countBroken(problems.length)}\n`);
  }
  return problems.length === 0 ? 0 : CORRUPT;
}

function countBroken(count: number): string {
  return count === 0 ? "no errors found" : `${count} broken`;
}
