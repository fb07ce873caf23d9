import { ImagePins } from "../../install/image_pins.ts";
import { PackageRecords } from "../../install/package_records.ts";
import { RecordError, setRecordAside } from "../../install/records/record_file.ts";
import { LEFT_ALONE, repairRecord } from "../../install/repair_record.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import type { Digest } from "../../oci/digest.ts";
import { cannot, CorruptError, CrpeError } from "../../oci/error.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { repairLink } from "../../store/verify_links.ts";
import { type StoreReport, type VerifyOptions, verifyStore } from "../../store/verify_store.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import { readSettings, type Settings } from "../command_line/settings.ts";
import { createWarning, describeError, toOneLine } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import type { Progress } from "../console/progress.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { openBucketRecords } from "../wiring/open_packages.ts";
import { type Repair, StoreRepairs, type StoreRepairsOptions } from "./repair_store.ts";
import { repairFile, verifyFiles } from "./verify_files.ts";

const FAILED = 1;
const CORRUPT = 4;

/** A record of a package that cannot be read, or another damaged file that is no part of an image. */
interface BrokenRecord {
  /** Path in the data folder. */
  readonly path: string;
  /** The error, with the way to replace the record. */
  readonly reason: string;
  /** Repairs it as far as possible. */
  readonly repair: () => Promise<{ readonly isRepaired: boolean; readonly outcome: string }>;
}

/** A store that is verified, with what is specific to its place. */
interface VerifiedStore {
  /** Where it is, for messages. */
  readonly name: string;
  readonly packages: PackageRecords;
  /** The damaged records, and other damaged files that are no part of an image. */
  readonly records: BrokenRecord[];
  readonly verify: (options: VerifyOptions) => Promise<StoreReport>;
  readonly repairs: StoreRepairsOptions;
}

/** Verifies the store and the records of packages, and repairs what can be repaired. */
export async function verifyData(invocation: Invocation, io: Io, progress: Progress): Promise<number> {
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const { store: url } = settings;
  const verified = url === undefined
    ? await openFolder(settings.data, io)
    : await openBucket({ ...settings, store: url }, invocation, io);
  const { packages, records } = verified;
  let done = 0;
  const report = await verified.verify({
    required: (await packages.list()).flatMap(requirementsOf),
    onProgress: (bytes) => progress.update(done += bytes),
  }).finally(() => progress.finish());
  const repairs = invocation.isSet("repair")
    ? [
      ...await new StoreRepairs(invocation, io, { ...verified.repairs, settings }).run(report),
      ...await repairRecords(settings.data, packages, records),
    ]
    : [];
  if (invocation.isSet("json")) {
    const named = records.map(({ path, reason }) => ({ path, reason: toOneLine(reason) }));
    io.out(formatJson({ ...report, records: named, repairs }));
  } else print(io, { name: verified.name, report, records, repairs });
  const found = report.broken.length + report.links.length + records.length;
  return found > repairs.filter(({ isRepaired }) => isRepaired).length
    ? CORRUPT
    : report.unread.length > 0
    ? FAILED
    : 0;
}

async function openFolder(data: string, io: Io): Promise<VerifiedStore> {
  await warnOfData(data, io);
  if (!(await Deno.stat(data)).isDirectory) throw new CrpeError(cannot(`verify ${data}`, "it is not a folder"));
  const packages = new PackageRecords(data);
  const files = await verifyFiles(data);
  const records = [
    ...await listBrokenRecords(packages),
    ...files.map((file) => ({ ...file, repair: () => repairFile(data, file) })),
  ];
  const pins = new ImagePins(data);
  await pins.list().catch((error) => {
    if (!(error instanceof CorruptError)) throw error;
    const isDamaged = !(error instanceof RecordError) || error.isDamaged;
    records.push({
      path: pins.path.slice(data.length + 1),
      reason: error.message,
      repair: async () =>
        isDamaged
          ? {
            isRepaired: true,
            outcome: `it is now ${await setRecordAside(pins.path)}; pin the images again with crpe images pin`,
          }
          : { isRepaired: false, outcome: LEFT_ALONE },
    });
  });
  return {
    name: data,
    packages,
    records,
    verify: (options) => verifyStore(data, new DiskStore(data, { isReadOnly: true }), options),
    repairs: {
      store: new DiskStore(data, { warn: () => {} }),
      repairLink: (link) => repairLink(data, link),
      removal: "moved aside",
    },
  };
}

async function openBucket(
  settings: Settings & { readonly store: string },
  invocation: Invocation,
  io: Io,
): Promise<VerifiedStore> {
  const { openObjectStore } = await import("../wiring/open_object_store.ts");
  const { repairBucketLink, verifyBucket } = await import("../../object_store/verify_bucket.ts");
  const isReading = !invocation.isSet("repair");
  const opened = await openObjectStore(settings.store, settings, { io, warn: createWarning(io), isReading });
  const packages = await openBucketRecords(settings.data, opened);
  return {
    name: opened.name,
    packages,
    records: await listBrokenRecords(packages),
    verify: (options) => verifyBucket(opened, options),
    repairs: {
      store: opened.store,
      repairLink: (link) => repairBucketLink(opened.client, link),
      removal: "removed",
    },
  };
}

async function listBrokenRecords(packages: PackageRecords): Promise<BrokenRecord[]> {
  const found: BrokenRecord[] = [];
  for (const id of await packages.listIds()) {
    for (const error of await packages.listProblems(id)) {
      const path = error.path.slice(packages.folder.length + 1);
      found.push({ path, reason: error.message, repair: () => repairRecord(packages, id, error) });
    }
  }
  return found;
}

async function repairRecords(
  data: string,
  packages: PackageRecords,
  records: readonly BrokenRecord[],
): Promise<Repair[]> {
  if (records.length === 0) return [];
  using _lease = await takeWriteLease(data);
  await using _lock = await packages.lock();
  const repairs: Repair[] = [];
  for (const { path, repair } of records) {
    const failed = (error: unknown) => ({ isRepaired: false, outcome: describeError(error) });
    repairs.push({ what: path, ...await repair().catch(failed) });
  }
  return repairs;
}

interface Findings {
  readonly name: string;
  readonly report: StoreReport;
  readonly records: readonly BrokenRecord[];
  readonly repairs: readonly Repair[];
}

function print(io: Io, { name, report, records, repairs }: Findings): void {
  const { broken, links, unread } = report;
  const outcomes = new Map(repairs.map(({ what, outcome }) => [what, outcome]));
  const advice = "crpe verify --repair, crpe pull IMAGE or crpe import --force PKG.tgz replaces it";
  for (const { digest, reason, images } of broken) {
    const users = images.length === 0 ? "no image needs it" : `needed by ${images.join(", ")}`;
    io.out(`${digest}: ${reason}; ${users}; ${outcomes.get(digest) ?? advice}\n`);
  }
  for (const { path, reason, image } of links) {
    io.out(
      `${name}/${path}: ${reason}; it belongs to ${image}; ${
        outcomes.get(path) ?? "crpe verify --repair rebuilds it"
      }\n`,
    );
  }
  for (const { path, reason } of records) {
    const outcome = outcomes.get(path);
    const where = reason.includes(path) ? "" : `${name}/${path}: `;
    io.out(`${where}${toOneLine(reason)}${outcome === undefined ? "" : `; ${outcome}`}\n`);
  }
  for (const { path, reason } of unread) io.out(`${name}/${path}: could not be read: ${toOneLine(reason)}\n`);
  const count = broken.length + links.length + records.length;
  const repaired = repairs.filter(({ isRepaired }) => isRepaired).length;
  const rest = [
    ...(repairs.length === 0 ? [] : [`${repaired} repaired`]),
    ...(unread.length === 0 ? [] : [`${unread.length} not read`]),
  ].map((text) => `, ${text}`).join("");
  const found = count === 0 ? "no errors found" : `${count} broken`;
  io.out(`${formatCount(report.blobs, "blob")}, ${formatSize(report.bytes)}: ${found}${rest}\n`);
}

function requirementsOf({ status }: KubePkg): { digest: Digest; size: number; image: string }[] {
  return (status?.digests ?? []).map(({ digest, size, name, tag }) => {
    return { digest, size, image: tag === undefined ? name : `${name}:${tag}` };
  });
}
