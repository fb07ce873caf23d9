import { measureFreed } from "../../cache/image_usage.ts";
import { collectKeptDigests, findImageUser } from "../../install/image_pins.ts";
import { PackageRecords } from "../../install/package_records.ts";
import { RefusedError } from "../../oci/error.ts";
import { formatReference, repositoryOf } from "../../oci/reference.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { forgetImages } from "../../store/forget_images.ts";
import { collectGarbage } from "../../store/gc.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import { readReference } from "../command_line/read_reference.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning, describeError } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatSize } from "../console/quantity.ts";
import { type ReportResult, runSeveral } from "../console/several.ts";
import { warnOfData } from "../wiring/check_data.ts";

/** `crpe images rm` */
export async function runRemoveImages(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  await warnOfData(data, io);
  const [asJson, dryRun] = [invocation.isSet("json"), invocation.isSet("dry-run")];
  invocation.arguments.forEach(readReference);
  const removed: string[] = [];
  const run = async (name: string, report: ReportResult) => {
    const reference = await removeOne(name, data, dryRun);
    removed.push(reference);
    if (!asJson) io.out(`${dryRun ? "would remove" : "removed"} ${reference}\n`);
    report({ reference, removed: !dryRun });
  };
  const status = await runSeveral(invocation.arguments, io, { run, asJson, isDebug: invocation.isSet("debug") });
  if (removed.length === 0) return status;
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

/** @returns the full reference of the image */
async function removeOne(name: string, data: string, dryRun: boolean): Promise<string> {
  const wanted = readReference(name);
  const isByDigest = wanted.tag === undefined && wanted.digest !== undefined;
  const reference = isByDigest ? wanted : { host: wanted.host, path: wanted.path, tag: wanted.tag ?? "latest" };
  const [full, repository] = [formatReference(reference), repositoryOf(reference)];
  const store = new DiskStore(data, { isReadOnly: true });
  const found = await store.resolve(repository, reference.tag ?? wanted.digest!);
  if (found === undefined || wanted.digest !== undefined && found.digest !== wanted.digest) {
    const tags = (await store.listTags(repository, { limit: 10 }))?.tags ?? [];
    const others = tags.length === 0
      ? ""
      : `; it has the ${tags.length === 1 ? "tag" : "tags"} ${tags.join(", ")} of ${repository}`;
    throw new Error(`Cannot remove ${full}: the store does not have it${others}`);
  }
  using _lease = dryRun ? undefined : await takeWriteLease(data);
  // What is installed or pinned meanwhile would else lose its images.
  using _lock = dryRun ? undefined : await new PackageRecords(data).lock();
  const user = await findImageUser(data, reference, found.digest);
  if (user !== undefined) throw new RefusedError(`Cannot remove ${full}: ${user.what}; ${user.advice}`);
  if (dryRun) return full;
  await forgetImages(data, [{ repository, tag: reference.tag, digest: found.digest }], await collectKeptDigests(data));
  return full;
}
