import { readBundle } from "../../bundle/read_bundle.ts";
import { streamBytes } from "../../bytes/byte_reader.ts";
import type { Digest } from "../../oci/digest.ts";
import type { DiskStore } from "../../store/disk_store.ts";
import type { BrokenLink } from "../../store/verify_links.ts";
import type { BrokenBlob, StoreReport } from "../../store/verify_store.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import type { Settings } from "../command_line/settings.ts";
import { createWarning, describeError } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { nameOfBundle, openBundle } from "../wiring/open_bundle.ts";
import { openAnyStore } from "../wiring/open_store.ts";

/** What became of a broken blob, link or record. */
export interface Repair {
  /** The digest of a blob, or the path of a link or record. */
  readonly what: string;
  readonly isRepaired: boolean;
  readonly outcome: string;
}

/** What `StoreRepairs` needs. */
export interface StoreRepairsOptions {
  readonly store: Pick<DiskStore, "checkBlob" | "statBlob" | "addBlob">;
  readonly repairLink: (link: BrokenLink) => Promise<string>;
  /** What becomes of a corrupt blob: `moved aside`. */
  readonly removal: string;
}

const STILL_THERE = "it cannot be removed while a garbage collection is in progress; run the same command again";

/** Repairs a store: corrupt blobs are moved aside and fetched again, and links are rebuilt. */
export class StoreRepairs {
  readonly #invocation: Invocation;
  readonly #io: Io;
  readonly #settings: Settings;
  readonly #options: StoreRepairsOptions;

  constructor(invocation: Invocation, io: Io, { settings, ...options }: StoreRepairsOptions & { settings: Settings }) {
    this.#invocation = invocation;
    this.#io = io;
    this.#settings = settings;
    this.#options = options;
  }

  /** Repairs what can be repaired. */
  async run(report: StoreReport): Promise<Repair[]> {
    const { store, repairLink } = this.#options;
    if (report.broken.length + report.links.length === 0) return [];
    using _lease = await takeWriteLease(this.#settings.data);
    const repairs: Repair[] = [];
    for (const link of report.links) {
      if (!link.isManifestMissing) repairs.push(await attempt(link.path, () => repairLink(link)));
    }
    // Moves the file aside, unless it was replaced in the meantime.
    for (const { digest } of report.broken) await store.checkBlob(digest);
    const missing = new Map(report.broken.map((blob) => [blob.digest, blob]));
    for (const link of report.links) {
      if (link.isManifestMissing) missing.set(link.digest!, missingManifest(link, missing));
    }
    await this.#readBundles(missing);
    for (const [digest, blob] of missing) {
      const repair = await this.#fetch(blob);
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
  async #readBundles(missing: ReadonlyMap<Digest, BrokenBlob>): Promise<void> {
    const { store } = this.#options;
    for (const where of this.#invocation.flags("from")) {
      const bundle = await readBundle(await openBundle(where, this.#io), { what: nameOfBundle(where) });
      try {
        for (let entry = await bundle.next(); entry !== undefined; entry = await bundle.next()) {
          const { digest, start } = entry;
          if (start !== undefined || !missing.has(digest) || await store.statBlob("", digest) !== undefined) continue;
          await store.addBlob(streamBytes(entry), digest);
        }
      } finally {
        await bundle.cancel();
      }
    }
  }

  async #fetch({ digest, uses }: BrokenBlob): Promise<Omit<Repair, "what">> {
    const { store, removal } = this.#options;
    let state = await store.checkBlob(digest);
    // What was removed just now is missing at the next look.
    if (state === "corrupt") state = await store.checkBlob(digest);
    if (state === "corrupt") return { isRepaired: false, outcome: STILL_THERE };
    if (state === "intact") return { isRepaired: true, outcome: "read from the bundle" };
    if (uses.length === 0) return { isRepaired: true, outcome: removal };
    const { source } = await this.#open();
    let reason = "no upstream has it";
    for (const { repository, size, isManifest } of uses) {
      try {
        if (!isManifest && size !== undefined) await source.fetchBlob(repository, { digest, size });
        else if (await source.readManifest(repository, digest) === undefined) continue;
        return { isRepaired: true, outcome: `${removal} and fetched again` };
      } catch (error) {
        reason = describeError(error);
      }
    }
    return {
      isRepaired: false,
      outcome: `${removal}, but not fetched again (${reason}); pull or import it again`,
    };
  }

  #opened: ReturnType<typeof openAnyStore> | undefined;
  #open(): ReturnType<typeof openAnyStore> {
    return this.#opened ??= openAnyStore(this.#settings, this.#io, { warn: createWarning(this.#io) });
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
