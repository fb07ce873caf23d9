import { NotHeldError, readHeldImage, readSourceImage } from "../../bundle/held_images.ts";
import { ImageFile } from "../../bundle/image_file.ts";
import type { ImageGraph } from "../../bundle/image_graph.ts";
import { type AttachedImages, findAttachedImages } from "../../bundle/referrer_graphs.ts";
import type { ContentCatalog } from "../../content/source.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import type { Digest } from "../../oci/digest.ts";
import { formatReference, type Reference, repositoryOf, withDefaultTag } from "../../oci/reference.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import { readReference } from "../command_line/read_reference.ts";
import type { Settings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { openEntries } from "../wiring/open_entries.ts";
import { openAnyStore, type OpenedStore } from "../wiring/open_store.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** An image that is copied, and where it is read from. */
export interface ImageSource {
  readonly reference: Reference;
  /** The file, `the store`, or the registry that it comes from, for errors. */
  readonly where: string;
  /** How many of its blobs can be open at the same time. */
  readonly blobsAtATime: number;
  readGraph(): Promise<ImageGraph>;
  /** Finds what is attached to manifests of the image. */
  readAttached(graph: ImageGraph): Promise<AttachedImages>;
  /** Opens a blob; `undefined` if it is missing. */
  openBlob(digest: Digest, start: number): Promise<ReadableStream<Uint8Array> | undefined>;
  /** The position of a blob in the order in which the source reads best. */
  orderOf(digest: Digest): number;
}

/** What the operands of a command line stand for. */
interface CopySources extends AsyncDisposable {
  /** By the name under which an image is reported; an error in place of an operand that cannot be read. */
  readonly images: ReadonlyMap<string, ImageSource | Error>;
  /** The packages of the bundles. */
  readonly packages: readonly KubePkg[];
}

// Blobs are small or large; some at the same time hide the latency of the small ones.
const BLOBS_AT_A_TIME = 3;
// The name of an archive, or a path that is no image: `./layout`, `/media/usb/layout`.
const FILE = /^\.{0,2}\/|\/$|\.(?:tgz|tar|tar\.gz|tar\.zst)$/i;

/** Reports whether an operand is a file or a folder, and not the name of an image. */
export function isFileOperand(operand: string): boolean {
  return FILE.test(operand);
}

/**
 * Opens the sources of all operands. The caller disposes of them. Images that the store does not have come from their
 * registries, unless the settings say offline.
 *
 * @throws {UsageError} when an operand is not valid
 */
export async function openCopySources(
  operands: readonly string[],
  settings: Settings,
  { io, warn }: { readonly io: Io; readonly warn: (message: string) => void },
): Promise<CopySources> {
  if (operands.includes("-")) {
    throw new UsageError(cannot("copy standard input", "it would be read twice", "name a file"));
  }
  const references = new Map(operands.filter((it) => !isFileOperand(it)).map((it) => [it, readReference(it)]));
  const { data, offline } = settings;
  if (references.size > 0 && settings.store === undefined) await warnOfData(data, io, { isReading: offline, warn });
  // What is copied must not be removed meanwhile.
  const lease = references.size === 0 ? undefined : await takeWriteLease(data);
  const opened = references.size === 0 ? undefined : await openAnyStore(settings, io, { warn });
  const images = new Map<string, ImageSource | Error>();
  const files: ImageFile[] = [];
  const add = (name: string, source: ImageSource) =>
    images.set(images.has(name) ? `${name} of ${source.where}` : name, source);
  for (const operand of new Set(operands)) {
    const reference = references.get(operand);
    if (reference !== undefined) {
      add(operand, openHeldImage(reference, opened!, { isOffline: offline }));
      continue;
    }
    try {
      const file = await ImageFile.read(() => openEntries(operand, io), operand);
      files.push(file);
      for (const image of file.images) {
        add(formatReference(image.reference), openFiledImage(image, file, operand));
      }
    } catch (error) {
      images.set(operand, error as Error);
    }
  }
  return {
    images,
    packages: files.flatMap(({ packages }) => packages),
    [Symbol.asyncDispose]: async () => {
      for (const file of files) await file.close();
      await opened?.close();
      lease?.[Symbol.dispose]();
    },
  };
}

function openHeldImage(
  given: Reference,
  { store, source }: Pick<OpenedStore, "store" | "source">,
  { isOffline }: { readonly isOffline: boolean },
): ImageSource {
  const reference = withDefaultTag(given);
  // The store is enough for what it has: its registry is not asked.
  let from: ContentCatalog = store;
  return {
    reference,
    get where() {
      return from === store ? "the store" : reference.host;
    },
    blobsAtATime: BLOBS_AT_A_TIME,
    readGraph: async () => {
      try {
        return await readHeldImage(reference, store, "copy");
      } catch (error) {
        if (isOffline || !(error instanceof NotHeldError)) throw error;
      }
      from = source;
      return await readSourceImage(reference, source, "copy");
    },
    // Where the image comes from: of what the store has, its registry is not asked.
    readAttached: (graph) => findAttachedImages(graph, { source: from, catalog: from }),
    openBlob: async (digest, start) => (await from.openBlob(repositoryOf(reference), digest, { start }))?.body,
    orderOf: () => 0,
  };
}

function openFiledImage(
  image: { readonly reference: Reference; readonly digest: Digest },
  file: ImageFile,
  where: string,
): ImageSource {
  return {
    reference: image.reference,
    where,
    blobsAtATime: 1,
    readGraph: () => file.readGraph(image),
    readAttached: (graph) => file.readAttached(graph),
    openBlob: (digest, start) => file.openBlob(digest, start),
    orderOf: (digest) => file.orderOf(digest),
  };
}
