import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { isPackageId, type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { isJsonObject } from "../oci/json.ts";
import { formatReference } from "../oci/reference.ts";
import type { TrustVerdict } from "../signature/trust_policy.ts";
import { digestOfList } from "../store/inventory_code.ts";
import { RECORD } from "./records/package_folders.ts";
import { formatRecord, readRecordFile } from "./records/record_file.ts";
import type { RecordWriter } from "./records/record_writer.ts";

/** What the last import of a package, or a rollback, has put where, and when. */
export interface Receipt extends PackageId {
  readonly version: string;
  /** The node that imported it; empty if it was not named. */
  readonly node: string;
  /** When the import or rollback was finished, as ISO 8601 in UTC. */
  readonly imported: string;
  /** Whether the release was installed already, and only missing content of it was restored. */
  readonly repaired: boolean;
  /**
   * The ids of the trusted keys that have signed the release, separated by commas; `null` if it is not signed, or the site
   * has no trusted keys and verifies nothing.
   */
  readonly key: string | null;
  readonly images: readonly { readonly reference: string; readonly digest: Digest }[];
  /** The digest of the list `digests`; see `digestOfList`. */
  readonly list: Digest;
  /** All content of the release, sorted. */
  readonly digests: readonly Digest[];
  /** What is known about the origin of the release; absent in receipts of an earlier crpe, like the fields below. */
  readonly trust?: TrustVerdict["state"];
  /** The digest of `images`, as JSON; see `signReceipt`. */
  readonly imageList?: Digest;
  /** The signature of the node, as a line of `kubepkg.json.sig`. */
  readonly signature?: string;
}

const LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 8 };
const INDENT = 2;
const STATES: readonly TrustVerdict["state"][] = ["trusted", "signed", "unsigned"];

/** Creates the receipt of an import or a rollback. @param kubepkg the release, with the digests of its images */
export function createReceipt(
  kubepkg: KubePkg,
  how: Pick<Receipt, "node" | "repaired"> & { readonly time: number; readonly trust?: TrustVerdict },
): Receipt {
  const images = imagesOf(kubepkg).flatMap(({ reference, digest }) =>
    digest === undefined ? [] : [{ reference: formatReference(reference), digest }]
  );
  const digests = [
    ...new Set([
      ...images.map(({ digest }) => digest),
      ...(kubepkg.status?.digests ?? []).map(({ digest }) => digest),
    ]),
  ].sort();
  const { namespace, name } = packageIdOf(kubepkg);
  return {
    name,
    namespace,
    version: kubepkg.spec.version,
    node: how.node,
    imported: new Date(how.time).toISOString(),
    repaired: how.repaired,
    key: how.trust?.state === "trusted" ? how.trust.keys.map(({ id }) => id).join() : null,
    images,
    list: digestOfList(digests),
    digests,
    ...(how.trust === undefined ? {} : { trust: how.trust.state }),
  };
}

/** The receipts of the packages: for each, that of its last import or rollback. */
export class Receipts {
  readonly #writer: RecordWriter;

  constructor(writer: RecordWriter) {
    this.#writer = writer;
  }

  /** Returns the receipt of a package; `undefined` if it has none. @throws {RecordError} when it cannot be read */
  async read(id: PackageId): Promise<Receipt | undefined> {
    if (!isPackageId(id)) return undefined;
    const path = this.#pathOf(id);
    return await readRecordFile(path, LIMITS, (document) => parseReceipt(document, path));
  }

  /** Writes a receipt durably, in the place of the one before. */
  async write(receipt: Receipt): Promise<void> {
    await this.#writer.write(this.#pathOf(receipt), formatRecord(receipt, INDENT));
  }

  #pathOf(id: PackageId): string {
    return `${this.#writer.folders.pathOf(id)}/${RECORD.receipt}`;
  }
}

function parseReceipt(document: unknown, path: string): Receipt {
  if (isJsonObject(document)) {
    const { name, namespace, version, node, imported, repaired, key, images, list, digests } = document;
    const { trust, imageList, signature } = document;
    const isState = trust === undefined || STATES.some((state) => state === trust);
    const isText = (value: unknown): value is string => typeof value === "string";
    if (
      isText(name) && isText(namespace) && isText(version) && isText(node) && isText(imported) &&
      typeof repaired === "boolean" && (key === null || isText(key)) && Array.isArray(images) &&
      images.every((it) => isJsonObject(it) && isText(it.reference) && isDigest(it.digest)) &&
      isDigest(list) && Array.isArray(digests) && digests.every(isDigest) && isState &&
      (imageList === undefined || isDigest(imageList)) && (signature === undefined || isText(signature))
    ) {
      const what = { name, namespace, version, node, imported, repaired, key, images, list, digests };
      const more = Object.entries({ trust, imageList, signature }).filter(([, value]) => value !== undefined);
      return { ...what, ...Object.fromEntries(more) };
    }
  }
  throw new CorruptError(cannot(`use ${path}`, "it is not valid"));
}
