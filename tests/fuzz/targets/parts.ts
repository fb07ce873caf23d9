import { readBundle } from "../../../lib/bundle/read_bundle.ts";
import { FolderHandover } from "../../../lib/install/handover/folder_handover.ts";
import { installBundle } from "../../support/install_bundle.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { RecordError } from "../../../lib/install/records/record_file.ts";
import { StalePartialError } from "../../../lib/install/write_bundle_blob.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { CorruptError, IncompleteError, NoSpaceError, RefusedError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { makeBundle } from "../../support/agent_handler_fixture.ts";
import { makeParts, type PartItem } from "../../support/bundle_parts.ts";
import { makeBytes, streamOf } from "../../support/content.ts";
import { buildImage } from "../../support/images.ts";
import { idOf } from "../../support/kubepkg.ts";
import type { Random } from "../../support/random.ts";
import { checkStore, listFiles } from "../check_store.ts";
import { compress } from "../compress.ts";
import { checkError, fault, type FuzzTarget } from "../fuzz_target.ts";
import { mutateBytes } from "../mutate_bytes.ts";
import { mutateDocument } from "../mutate_text.ts";
import { mutateTar } from "../mutate_tar.ts";
import { joinTar, makePart, splitTar, type TarPart } from "../tar_parts.ts";

const IMAGE = buildImage({ files: [{ "a.txt": "a" }, { "b.bin": makeBytes(40_000) }], layerCompression: "none" });
const ERRORS = [CorruptError, IncompleteError, NoSpaceError, RefusedError, StalePartialError, RecordError];
const PART_COUNT = 3;

/** Parts of a split bundle with pieces of a blob, in any order, some of them damaged, and the files between two parts. */
export const PARTS: FuzzTarget = {
  name: "parts and pieces",
  outcomes: ["installed", "CorruptError", "part"],
  cases: 40,
  prepare: async (root) => {
    const good = await makeTars();
    return {
      run: async (random, describe) => {
        const folder = `${root}/case`;
        await Deno.mkdir(`${folder}/manifests`, { recursive: true });
        try {
          return await runCase(folder, { good, random, describe });
        } finally {
          await Deno.remove(folder, { recursive: true });
        }
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

async function makeTars(): Promise<Uint8Array<ArrayBuffer>[]> {
  const { kubepkg } = await readBundle(streamOf(await makeBundle(IMAGE)));
  const contents = new Map<Digest, Uint8Array>([
    ...IMAGE.blobs,
    ...IMAGE.manifests.map(({ descriptor, bytes }) => [descriptor.digest, bytes] as const),
  ]);
  const items: PartItem[][] = Array.from({ length: PART_COUNT }, () => []);
  for (const [digest, { length }] of contents) {
    if (length < 30_000) items[0]!.push([digest]);
    else {
      const [a, b] = [10_000, 25_000];
      [[0, a], [a, b - a], [b, length - b]].forEach(([start, size], i) => items[i]!.push([digest, start!, size!]));
    }
  }
  return await makeParts(kubepkg, items, { contents, compression: "none" });
}

interface Case {
  readonly good: readonly Uint8Array<ArrayBuffer>[];
  readonly random: Random;
  readonly describe: (what: string) => void;
}

async function runCase(folder: string, { good, random, describe }: Case): Promise<string> {
  const steps: string[] = [];
  let outcome = "";
  const share = random.pick([0, 0.3, 0.8]);
  for (let i = 0, count = 1 + random.below(6); i < count; i++) {
    const number = random.chance(0.7) ? i % good.length : random.below(good.length);
    const isDamaged = random.chance(share);
    const { bytes, what } = isDamaged ? damage(good[number]!, random) : { bytes: good[number]!, what: "good" };
    steps.push(`part ${number + 1} ${what}`);
    if (random.chance(0.2)) steps.push(damageFile(folder, random));
    describe(steps.join("; "));
    outcome = await importPart(folder, compress(bytes, random.pick(["gzip", "zstd", "none"] as const), random));
    checkStore(`${folder}/data`, fault);
    const isInstalled = await new PackageRecords(`${folder}/data`).read(idOf("line4")).catch(() => undefined);
    if (outcome !== "installed" && isInstalled === undefined && listFiles(`${folder}/manifests`).length > 0) {
      fault("handed over without a record");
    }
  }
  // Good parts repair whatever came before: one that is stale is named once, and --force discards other packs.
  const again = async () => {
    let last = "";
    for (const bytes of good) last = await importPart(folder, bytes, true);
    return last;
  };
  let last = await again();
  for (let tries = 0; tries < 3 && last !== "installed"; tries++) last = await again();
  if (last !== "installed") fault(`afterwards the good parts end with ${last}`);
  checkStore(`${folder}/data`, fault);
  return outcome;
}

async function importPart(folder: string, bytes: Uint8Array<ArrayBuffer>, force = false): Promise<string> {
  const store = new DiskStore(`${folder}/data`);
  const records = new PackageRecords(`${folder}/data`);
  try {
    const handover = new FolderHandover(`${folder}/manifests`);
    const { isImported, kubepkg, part } = await installBundle(streamOf(bytes), { store, records, handover, force });
    if (part !== undefined && !isImported && part.missing.length > 0) return "part";
    for (const { digest, size } of kubepkg.status?.digests ?? []) {
      if (await store.statBlob("", digest) !== size) fault(`${digest} is not held with ${size} bytes`);
    }
    return "installed";
  } catch (error) {
    return checkError(error, ERRORS);
  }
}

function damage(tar: Uint8Array<ArrayBuffer>, random: Random): { bytes: Uint8Array<ArrayBuffer>; what: string } {
  const parts = splitTar(tar);
  switch (random.below(3)) {
    case 0:
      return mutateBytes(tar, random);
    case 1: {
      const { parts: changed, what } = mutateTar(parts, random);
      return { bytes: joinTar(changed), what };
    }
    default: {
      const [first, ...rest] = parts as [TarPart, ...TarPart[]];
      const document = mutateDocument(new Uint8Array(first.content), random);
      return { bytes: joinTar([makePart(first.name, document), ...rest]), what: new TextDecoder().decode(document) };
    }
  }
}

// A file of the ingest folder is damaged by the disk, or by a person.
function damageFile(folder: string, random: Random): string {
  const names = listFiles(`${folder}/data/ingest`).filter((name) => !name.endsWith(".lock"));
  if (names.length === 0) return "no file to damage";
  const path = `${folder}/data/ingest/${random.pick(names)}`;
  const bytes = Deno.readFileSync(path);
  Deno.writeFileSync(path, path.endsWith(".json") ? mutateDocument(bytes, random) : mutateBytes(bytes, random).bytes);
  return `${path.slice(path.lastIndexOf("/") + 1)} damaged`;
}
