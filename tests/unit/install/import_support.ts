import type { BundleSource } from "../../../lib/bytes/byte_reader.ts";
import { isComplete } from "../../../lib/cache/completeness.ts";
import type { ContentStore, NewManifest } from "../../../lib/content/source.ts";
import { installPackages } from "../../../lib/install/install_bundle.ts";
import { installBundle } from "../../support/install_bundle.ts";
import type { InstallOptions } from "../../../lib/install/installation.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import type { ImportStore } from "../../../lib/store/blob_store.ts";
import type { KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { NoSpaceError } from "../../../lib/oci/error.ts";
import type { Descriptor } from "../../../lib/oci/manifest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import type { Ingest } from "../../../lib/store/ingest.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import type { Content } from "../../support/content.ts";
import { MEMORY_FOLDER } from "../../support/test_folder.ts";
import type { TestImage } from "../bundle/bundle_support.ts";

// Removed at the end of the test file: a store and its records have no disposal.
function newFolder(): string {
  return Deno.makeTempDirSync({ dir: MEMORY_FOLDER });
}

/** A store in a folder of its own, which notes what is written. */
export class WatchedStore extends DiskStore implements Disposable {
  readonly #folder: string;
  /** The blobs that were written. */
  readonly blobs: Digest[] = [];
  /** The calls that wrote manifests and tags. */
  readonly visible: ("writeManifest" | "tag")[] = [];
  failOn: Digest | undefined;

  constructor(folder = newFolder()) {
    super(folder);
    this.#folder = folder;
  }

  override async openIngest(digest: Digest, repo?: string | ReadonlySet<string>): Promise<Ingest> {
    if (digest === this.failOn) throw new NoSpaceError("Cannot write: no space left on the device");
    const ingest = await super.openIngest(digest, repo);
    const commit = ingest.commit.bind(ingest);
    ingest.commit = async () => {
      await commit();
      this.blobs.push(digest);
    };
    return ingest;
  }

  override async writeBlob(repo: string, expected: Descriptor, body: ReadableStream<Uint8Array>): Promise<void> {
    const isHeld = await this.statBlob(repo, expected.digest) === expected.size;
    await super.writeBlob(repo, expected, body);
    if (!isHeld) this.blobs.push(expected.digest);
  }

  override async writeManifest(repo: string, expected: NewManifest, bytes: Uint8Array): Promise<void> {
    this.visible.push("writeManifest");
    await super.writeManifest(repo, expected, bytes);
  }

  override async tag(repo: string, tag: string, digest: Digest): Promise<void> {
    this.visible.push("tag");
    await super.tag(repo, tag, digest);
  }

  /** Removes the folder early, where a test has many large stores. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }

  /** Forgets what was written. */
  reset(): void {
    this.blobs.length = this.visible.length = 0;
  }
}

/** How a test imports a bundle. */
export interface ImportOptions extends Partial<Omit<InstallOptions, "store">> {
  /** The releases that are installed before. */
  readonly installed?: readonly KubePkg[];
}

async function withRecords(store: ImportStore, { installed = [], ...options }: ImportOptions): Promise<InstallOptions> {
  const { records = new PackageRecords(newFolder()) } = options;
  for (const kubepkg of installed) await records.write(kubepkg);
  return { ...options, store, records };
}

/** Installs the package of a bundle, by default with records of its own. */
export async function importBundle(source: BundleSource, store: ImportStore, options: ImportOptions = {}) {
  return await installBundle(source, await withRecords(store, options));
}

/** Installs the packages of a bundle, by default with records of their own. */
export async function importPackages(source: BundleSource, store: ImportStore, options: ImportOptions = {}) {
  return await installPackages(source, await withRecords(store, options));
}

/** Checks that a store holds a complete image under its name, `REPOSITORY:TAG`. */
export async function checkImage(store: ContentStore, name: string, image: TestImage): Promise<void> {
  const colon = name.lastIndexOf(":");
  const repo = name.slice(0, colon);
  const root = await store.resolve(repo, name.slice(colon + 1));
  assertEquals(root?.digest, image.root.descriptor.digest);
  assert(await isComplete(store, repo, root!));
  for (const { bytes, descriptor } of image.manifests) {
    assertEquals(await store.readManifest(repo, descriptor.digest), bytes);
  }
  for (const { descriptor } of image.blobs) {
    const opened = await store.openBlob(repo, descriptor.digest);
    const bytes = new Uint8Array(
      await new Response(opened?.body as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer(),
    );
    assertEquals(computeDigest(bytes), descriptor.digest);
  }
}

/** Lists the lines of `status.digests` for an image. */
export function linesOf(image: TestImage, name = "docker.io/library/app"): object[] {
  const line = (type: string) => ({ descriptor: { digest, size } }: Content) => ({ type, name, digest, size });
  return [...image.blobs.map(line("blob")), ...image.manifests.map(line("manifest"))];
}
