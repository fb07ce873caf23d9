import { FolderHandover } from "../../../lib/install/handover/folder_handover.ts";
import { installBundle } from "../../support/install_bundle.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { RecordError } from "../../../lib/install/records/record_file.ts";
import { formatCanonicalJson } from "../../../lib/kubepkg/version.ts";
import { CorruptError, RefusedError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { makeBundle } from "../../support/agent_handler_fixture.ts";
import { makeParts } from "../../support/bundle_parts.ts";
import { streamOf } from "../../support/content.ts";
import { buildImage } from "../../support/images.ts";
import { idOf } from "../../support/kubepkg.ts";
import { checkError, checkMessage, fault, type FuzzTarget } from "../fuzz_target.ts";
import { mutateDocument } from "../mutate_text.ts";
import type { Random } from "../../support/random.ts";
import { readBundle } from "../../../lib/bundle/read_bundle.ts";

const ID = idOf("line4");
const IMAGE = buildImage({ files: { "a.txt": "a" } });
// A release that is not complete yet.
const NEXT = buildImage({ files: { "b.txt": "b" } });
const FOLDER = "data/kubepkg/line4";

async function prepareFiles(root: string) {
  const [first, second] = [await makeBundle(IMAGE), await makeBundle(IMAGE, { version: "1.1.0" })];
  await Deno.mkdir(`${root}/manifests`);
  const install = async (bytes: Uint8Array<ArrayBuffer>, force = false) => {
    return await installBundle(streamOf(bytes), {
      store: new DiskStore(`${root}/data`),
      records: new PackageRecords(`${root}/data`),
      handover: new FolderHandover(`${root}/manifests`),
      force,
    });
  };
  await install(first);
  await install(second);
  const { kubepkg } = await readBundle(streamOf(await makeBundle(NEXT, { version: "2.0.0" })));
  const contents = new Map([
    ...NEXT.blobs,
    ...NEXT.manifests.map(({ descriptor, bytes }) => [descriptor.digest, bytes] as const),
  ]);
  const digests = [...contents.keys()];
  const [part] = await makeParts(kubepkg, [[[digests[0]!]], digests.slice(1).map((digest) => [digest] as const)], {
    contents,
  });
  await install(part!);
  const history = [...Deno.readDirSync(`${root}/${FOLDER}/history`)].map(({ name }) => `history/${name}`);
  const names = ["current.json", "handover.json", "pending.json", ...history];
  return {
    files: new Map(names.map((name) => [name, Deno.readFileSync(`${root}/${FOLDER}/${name}`)])),
    /** Installs a release that a damaged record must not prevent. */
    installAgain: () => install(second, true),
  };
}

/** Every record file of a package: the release, the history, the hand-over, and a pending release. */
export const RECORDS: FuzzTarget = {
  name: "records",
  outcomes: ["as written", "RecordError", "without a checksum"],
  cases: 250,
  prepare: async (root) => {
    const { files, installAgain } = await prepareFiles(root);
    const restore = () => {
      for (const [name, bytes] of files) Deno.writeFileSync(`${root}/${FOLDER}/${name}`, bytes);
      for (const { name } of Deno.readDirSync(`${root}/${FOLDER}`)) {
        if (name.endsWith(".broken")) Deno.removeSync(`${root}/${FOLDER}/${name}`);
      }
      for (const { name } of Deno.readDirSync(`${root}/${FOLDER}/history`)) {
        if (!files.has(`history/${name}`)) Deno.removeSync(`${root}/${FOLDER}/history/${name}`);
      }
    };
    const whole = await readAll(root);
    return {
      run: async (random, describe) => {
        restore();
        const name = random.pick([...files.keys()]);
        let bytes = files.get(name)!;
        // Records of an earlier release have no checksum, which would hide every other fault.
        const isOld = random.chance(0.5);
        if (isOld) bytes = withoutChecksum(bytes);
        for (let times = 1 + random.below(2); times > 0; times--) bytes = mutateDocument(bytes, random);
        describe(`${name}: ${JSON.stringify(new TextDecoder().decode(bytes))}`);
        Deno.writeFileSync(`${root}/${FOLDER}/${name}`, bytes);
        return await check(root, { name, whole, isOld, random, installAgain });
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

interface Whole {
  readonly [name: string]: string;
}

// What the records say, by the name of the file that says it.
async function readAll(root: string): Promise<Whole> {
  const records = new PackageRecords(`${root}/data`);
  const read = async (what: () => Promise<unknown>): Promise<string> => {
    try {
      return formatCanonicalJson(await what() ?? null);
    } catch (error) {
      return checkError(error, [RecordError]);
    }
  };
  const history = async () => {
    const { packages, problems } = await records.scanHistory(ID);
    for (const { error } of problems) throw error;
    return packages;
  };
  return {
    "current.json": await read(() => records.read(ID)),
    "handover.json": await read(() => records.handovers.read(ID)),
    "pending.json": await read(() => records.pending.read(ID)),
    history: await read(history),
  };
}

async function check(root: string, { name, whole, isOld, random, installAgain }: {
  readonly name: string;
  readonly whole: Whole;
  readonly isOld: boolean;
  readonly random: Random;
  readonly installAgain: () => Promise<unknown>;
}): Promise<string> {
  const records = new PackageRecords(`${root}/data`);
  const { problems } = await records.scan();
  for (const { error } of problems) checkMessage(error.message);
  await records.pending.scan();
  for (const { path } of await records.listProblems(ID)) {
    if (!path.endsWith(name)) fault(`${path} is reported instead of ${name}`);
  }
  const now = await readAll(root);
  const key = name.startsWith("history/") ? "history" : name;
  for (const other of Object.keys(whole).filter((other) => other !== key)) {
    // Without the current release it is not known whose folder it is; the other files keep what they say.
    if (now[other] !== whole[other] && key !== "current.json") fault(`${other} reads ${now[other]?.slice(0, 200)}`);
  }
  const outcome = now[key] === whole[key] ? "as written" : now[key] === "RecordError" ? "RecordError" : "changed";
  // The mutation may have taken the checksum away.
  const isCovered = /^\{"checksum":"sha256:[0-9a-f]{64}",/.test(await readStart(`${root}/${FOLDER}/${name}`));
  if (outcome === "changed" && !isOld && isCovered) fault("a changed record with a checksum was accepted");
  if (random.chance(0.15)) await checkRepair(root, installAgain);
  return outcome === "changed" ? "without a checksum" : outcome;
}

// An import with --force is the documented way back. A hand-over record of another place may refuse it.
async function checkRepair(root: string, installAgain: () => Promise<unknown>): Promise<void> {
  try {
    await installAgain();
  } catch (error) {
    checkError(error, [RefusedError, CorruptError]);
    return;
  }
  const { problems } = await new PackageRecords(`${root}/data`).scan();
  if (problems.length > 0) fault(`afterwards ${problems[0]!.error.message}`);
}

async function readStart(path: string): Promise<string> {
  return new TextDecoder().decode((await Deno.readFile(path)).subarray(0, 100));
}

function withoutChecksum(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const text = new TextDecoder().decode(bytes).replace(/^\{"checksum":"[^"]*",/, "{");
  return new TextEncoder().encode(text);
}
