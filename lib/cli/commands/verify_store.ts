import { readBundle } from "../../bundle/read_bundle.ts";
import { streamBytes } from "../../bytes/byte_reader.ts";
import { ImagePins } from "../../install/image_pins.ts";
import { PackageRecords } from "../../install/package_records.ts";
import { RecordError, setRecordAside } from "../../install/records/record_file.ts";
import { LEFT_ALONE, repairRecord } from "../../install/repair_record.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import type { Digest } from "../../oci/digest.ts";
import { CorruptError } from "../../oci/error.ts";
import { addBlob } from "../../store/add_blob.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { type BrokenLink, repairLink } from "../../store/verify_links.ts";
import { type BrokenBlob, type StoreReport, verifyStore } from "../../store/verify_store.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import { readSettings, type Settings } from "../command_line/settings.ts";
import { createWarning, describeError, toOneLine } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import type { Progress } from "../console/progress.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { nameOfBundle, openBundle } from "../wiring/open_bundle.ts";
import { openStore } from "../wiring/open_store.ts";
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

/** What became of a broken blob, link or record. */
interface Repair {
  /** The digest of a blob, or the path of a link or record. */
  readonly what: string;
  readonly isRepaired: boolean;
  readonly outcome: string;
}

/** Verifies the store and the records of the data folder, and repairs what can be repaired. */
export async function verifyData(invocation: Invocation, io: Io, progress: Progress): Promise<number> {
  const settings = await readSettings(invocation, io);
  const { data } = settings;
  await warnOfData(data, io);
  if (!(await Deno.stat(data)).isDirectory) throw new Error(`Cannot verify ${data}: it is not a folder`);
  const packages = new PackageRecords(data);
  const records = await listBrokenRecords(data, packages);
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
  let done = 0;
  const report = await verifyStore(data, new DiskStore(data, { isReadOnly: true }), {
    required: (await packages.list()).flatMap(requirementsOf),
    onProgress: (bytes) => progress.update(done += bytes),
  }).finally(() => progress.finish());
  const repairs = invocation.isSet("repair")
    ? [...await new Repairs(invocation, io, settings).run(report), ...await repairRecords(data, packages, records)]
    : [];
  if (invocation.isSet("json")) {
    const named = records.map(({ path, reason }) => ({ path, reason: toOneLine(reason) }));
    io.out(formatJson({ ...report, records: named, repairs }));
  } else print(io, { data, report, records, repairs });
  const found = report.broken.length + report.links.length + records.length;
  return found > repairs.filter(({ isRepaired }) => isRepaired).length
    ? CORRUPT
    : report.unread.length > 0
    ? FAILED
    : 0;
}

async function listBrokenRecords(data: string, packages: PackageRecords): Promise<BrokenRecord[]> {
  const found: BrokenRecord[] = [];
  for (const id of await packages.listIds()) {
    for (const error of await packages.listProblems(id)) {
      const path = error.path.slice(data.length + 1);
      found.push({ path, reason: error.message, repair: () => repairRecord(packages, id, error) });
    }
  }
  const files = await verifyFiles(data);
  return [...found, ...files.map((file) => ({ ...file, repair: () => repairFile(data, file) }))];
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
  readonly data: string;
  readonly report: StoreReport;
  readonly records: readonly BrokenRecord[];
  readonly repairs: readonly Repair[];
}

function print(io: Io, { data, report, records, repairs }: Findings): void {
  const { broken, links, unread } = report;
  const outcomes = new Map(repairs.map(({ what, outcome }) => [what, outcome]));
  const advice = "crpe verify --repair, crpe pull IMAGE or crpe import --force PKG.tgz replaces it";
  for (const { digest, reason, images } of broken) {
    const users = images.length === 0 ? "no image needs it" : `needed by ${images.join(", ")}`;
    io.out(`${digest}: ${reason}; ${users}; ${outcomes.get(digest) ?? advice}\n`);
  }
  for (const { path, reason, image } of links) {
    io.out(
      `${data}/${path}: ${reason}; it belongs to ${image}; ${
        outcomes.get(path) ?? "crpe verify --repair rebuilds it"
      }\n`,
    );
  }
  for (const { path, reason } of records) {
    const outcome = outcomes.get(path);
    const where = reason.includes(path) ? "" : `${data}/${path}: `;
    io.out(`${where}${toOneLine(reason)}${outcome === undefined ? "" : `; ${outcome}`}\n`);
  }
  for (const { path, reason } of unread) io.out(`${data}/${path}: could not be read: ${toOneLine(reason)}\n`);
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

/** Repairs a store: corrupt blobs are moved aside and fetched again, and links are rebuilt. */
class Repairs {
  readonly #invocation: Invocation;
  readonly #io: Io;
  readonly #settings: Settings;

  constructor(invocation: Invocation, io: Io, settings: Settings) {
    this.#invocation = invocation;
    this.#io = io;
    this.#settings = settings;
  }

  async run(report: StoreReport): Promise<Repair[]> {
    const { data } = this.#settings;
    if (report.broken.length + report.links.length === 0) return [];
    using _lease = await takeWriteLease(data);
    const repairs: Repair[] = [];
    for (const link of report.links) {
      if (!link.isManifestMissing) repairs.push(await attempt(link.path, () => repairLink(data, link)));
    }
    const store = new DiskStore(data, { warn: () => {} });
    // Moves the file aside, unless it was replaced in the meantime.
    for (const { digest } of report.broken) await store.checkBlob(digest);
    const missing = new Map(report.broken.map((blob) => [blob.digest, blob]));
    for (const link of report.links) {
      if (link.isManifestMissing) missing.set(link.digest!, missingManifest(link, missing));
    }
    await this.#readBundles(store, missing);
    for (const [digest, blob] of missing) {
      const repair = await this.#fetch(store, blob);
      const links = report.links.filter((link) => link.isManifestMissing && link.digest === digest);
      const found = report.broken.filter((it) => it.digest === digest);
      // One repair may mend several findings: a manifest, and the links to it.
      for (const what of [...found.map(() => digest), ...links.map(({ path }) => path)]) {
        repairs.push({ what, ...repair });
      }
    }
    return repairs;
  }

  // No repository gets a link: those that had one still have it.
  async #readBundles(store: DiskStore, missing: ReadonlyMap<Digest, BrokenBlob>): Promise<void> {
    for (const where of this.#invocation.flags("from")) {
      const bundle = await readBundle(await openBundle(where, this.#io), { what: nameOfBundle(where) });
      try {
        for (let entry = await bundle.next(); entry !== undefined; entry = await bundle.next()) {
          const { digest, start } = entry;
          if (start !== undefined || !missing.has(digest) || await store.statBlob("", digest) !== undefined) continue;
          await addBlob(this.#settings.data, streamBytes(entry), { expected: digest });
        }
      } finally {
        await bundle.cancel();
      }
    }
  }

  async #fetch(store: DiskStore, { digest, uses }: BrokenBlob): Promise<Omit<Repair, "what">> {
    if (await store.checkBlob(digest) === "intact") return { isRepaired: true, outcome: "read from the bundle" };
    if (uses.length === 0) return { isRepaired: true, outcome: "moved aside" };
    const { source } = await this.#open();
    let reason = "no upstream has it";
    for (const { repository, size, isManifest } of uses) {
      try {
        if (!isManifest && size !== undefined) await source.fetchBlob(repository, { digest, size });
        else if (await source.readManifest(repository, digest) === undefined) continue;
        return { isRepaired: true, outcome: "moved aside and fetched again" };
      } catch (error) {
        reason = describeError(error);
      }
    }
    return {
      isRepaired: false,
      outcome: `moved aside, but not fetched again (${reason}); pull or import it again`,
    };
  }

  #opened: ReturnType<typeof openStore> | undefined;
  #open(): ReturnType<typeof openStore> {
    return this.#opened ??= openStore(this.#settings, this.#io, { warn: createWarning(this.#io) });
  }
}

async function attempt(what: string, repair: () => Promise<string>): Promise<Repair> {
  try {
    return { what, isRepaired: true, outcome: await repair() };
  } catch (error) {
    return { what, isRepaired: false, outcome: `it could not be repaired: ${describeError(error)}` };
  }
}

function missingManifest(
  { digest, path, repository, reason, image }: BrokenLink,
  known: ReadonlyMap<Digest, BrokenBlob>,
): BrokenBlob {
  const before = known.get(digest!);
  const uses = [...before?.uses ?? [], { repository, size: undefined, isManifest: true }];
  return { digest: digest!, path, reason, images: [...before?.images ?? [], image], uses };
}
