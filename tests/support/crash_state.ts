import { isComplete } from "../../lib/cache/completeness.ts";
import { PullThrough } from "../../lib/cache/pull_through.ts";
import { PackageRecords } from "../../lib/install/package_records.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { verifyStore } from "../../lib/store/verify_store.ts";
import { listFiles } from "../fuzz/check_store.ts";
import { assert, assertEquals } from "./assert.ts";
import { imagesOfBundle } from "./crash_images.ts";
import { type CrashWork, PACKAGE, PULLED } from "./crash_work.ts";
import { idOf } from "./kubepkg.ts";

/**
 * Lists all files of the store, the package records and the hand-over: path → digest.
 *
 * @param recorded the path of the folder when the records were written
 */
export async function listContent(path: string, recorded = path): Promise<Record<string, string>> {
  // The key of the node is another one for each run, and is made at any time.
  const names = listFiles(path).filter((name) => {
    return /^(?:data\/(?:docker|kubepkg)|manifests)\//.test(name) && !/\/\.(?:node-key|tls)\.pem$/.test(name);
  });
  const found: Record<string, string> = {};
  for (const name of names) {
    const bytes = await Deno.readFile(`${path}/${name}`);
    // These files contain the path of the manifests, the time, and who has finished the work how: they differ for each run.
    found[name] = computeDigest(
      /\/(?:handover|receipt)\.json$/.test(name)
        ? new TextDecoder().decode(bytes).replace(/^\{"checksum":"[^"]*",/, "{")
          .replaceAll(await Deno.realPath(recorded), "").replace(
            /"(?:imported|node|repaired|signature)": (?:"[^"]*"|true|false),?/g,
            "",
          )
        : bytes,
    );
  }
  return found;
}

/** Lists the files that differ, or that only one side has. */
export function differences(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((name) => a[name] !== b[name]).map((name) => {
    return `${a[name] === undefined ? "missing" : b[name] === undefined ? "unexpected" : "other content"}: ${name}`;
  });
}

/** The version before a work, and the one after it. */
const CHANGES = {
  import: [undefined, 1],
  parts: [undefined, 1],
  upgrade: [1, 2],
  rollback: [2, 1],
} as const;

/** As long as the record is there, all else may be there; without it nothing is. */
async function checkRemoval(path: string, store: DiskStore): Promise<void> {
  const record = await new PackageRecords(`${path}/data`).read(idOf(PACKAGE));
  const links = await store.listTagLinks("registry.test/team/app");
  const file = await Deno.readTextFile(`${path}/manifests/${PACKAGE}.yaml`).catch(() => undefined);
  if (record === undefined) assertEquals([links, file], [[], undefined]);
  // Tags go only after the objects have gone.
  if (links.length === 0) assertEquals(file, undefined);
  assert(file === undefined || file.includes("kind: PersistentVolumeClaim"), "data is not kept");
}

/** Checks that only complete content is visible. */
export async function checkState(work: CrashWork, path: string): Promise<void> {
  const store = new DiskStore(`${path}/data`, { warn: (message) => assert(false, message) });
  const { broken, unread } = await verifyStore(`${path}/data`, store);
  assertEquals([...broken, ...unread], []);
  if (work === "pull") {
    // A cache stores a manifest before its blobs. It offers the manifest without them, because the client may have them,
    // but then says so.
    const root = await new PullThrough({ store }).resolve(PULLED.repo, PULLED.tag);
    if (root !== undefined) assertEquals(await isComplete(store, PULLED.repo, root), root.isIncomplete !== true);
    return;
  }
  if (work === "remove") return await checkRemoval(path, store);
  const [before, after] = CHANGES[work];
  const tags: unknown[] = [];
  for (const [reference, image] of Object.entries(imagesOfBundle(after))) {
    const [repo = "", tag = ""] = reference.split(/:(?=[^:]*$)/);
    const links = await store.listTagLinks(repo);
    assert(links.length <= 1 && links.every((link) => link.tag === tag));
    for (const { digest } of links) {
      const root = await store.resolve(repo, digest);
      assert(root !== undefined && await isComplete(store, repo, root), `${reference} is incomplete`);
    }
    const old = before && imagesOfBundle(before)[reference]?.root.digest;
    const isNew = links[0]?.digest === image.root.digest;
    assert(isNew || links[0]?.digest === old, `${reference} is neither the old nor the new image`);
    tags.push(isNew);
  }
  if (tags.includes(true)) {
    for (const [reference, { root }] of Object.entries(imagesOfBundle(after))) {
      assert(
        await isComplete(store, reference.split(":")[0]!, root),
        `a tag is visible, but ${reference} is incomplete`,
      );
    }
  }
  const record = (await new PackageRecords(`${path}/data`).read(idOf(PACKAGE)))?.spec.version;
  const handover = await readHandover(path);
  assert([before, after].includes(handover), `the hand-over file is of ${handover}`);
  assert([before, after].map((version) => version && `${version}.0.0`).includes(record as "1.0.0"));
  if (handover === after) assert(!tags.includes(false), "handed over before all tags are in place");
  if (record === `${after}.0.0`) assert(handover === after, "recorded before it was handed over");
}

async function readHandover(path: string): Promise<1 | 2 | undefined> {
  try {
    const text = await Deno.readTextFile(`${path}/manifests/${PACKAGE}.yaml`);
    assert(text.endsWith("\n") && text.includes("kind: ConfigMap"), text);
    return Number(/line: "([12])"/.exec(text)?.[1]) as 1 | 2;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
