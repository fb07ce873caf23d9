import { formatGzipHead, GzipWriter } from "../archive/gzip_writer.ts";
import { formatTarFiles, formatTarHeader, paddedSize } from "../archive/tar_header.ts";
import { type TarEntry, TarReader } from "../archive/tar_reader.ts";
import type { BundleSource } from "../bytes/byte_reader.ts";
import { PACKED_LIMITS, readKubePkgsJson } from "../kubepkg/read_kubepkg.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import {
  formatSignatureLines,
  MAX_SIGNATURE_FILE,
  MAX_SIGNATURES,
  parseSignatureLines,
  type SignatureLine,
} from "../signature/signature_lines.ts";
import { END_BYTES } from "./bundle_layout.ts";
import { ENTRY_NAME } from "./entry_names.ts";
import { openBundleTar } from "./open_bundle_tar.ts";
import { explainOther } from "./other_archive.ts";
import type { BundleOutput } from "./write_bundle.ts";

/** Options of `signBundle`. */
interface SignBundleOptions {
  /** Name of the bundle in errors. */
  readonly what: string;
  /** Creates the signatures of the bundle's `kubepkg.json`. */
  readonly sign: (document: Uint8Array) => readonly SignatureLine[];
}

const PIECE_BYTES = 1024 * 1024;
const DOCUMENTS: ReadonlySet<string> = new Set(Object.values(ENTRY_NAME));

/**
 * Copies a bundle and adds signatures to it. Signatures by other keys are kept. The content is copied as it is: the
 * checksum of the file is verified, the digests are not.
 *
 * @returns all signatures of the new file
 * @throws {CorruptError} when the file is not a bundle, or damaged
 */
export async function signBundle(
  source: BundleSource,
  output: BundleOutput,
  { what, sign }: SignBundleOptions,
): Promise<readonly SignatureLine[]> {
  const { reader } = await openBundleTar(source, what);
  const tar = new TarReader(reader, what);
  try {
    tar.readThrough();
    const first = await tar.next();
    if (first?.name !== ENTRY_NAME.kubepkg) throw await explainOther(tar, first, { source, what });
    const document = await first.readAll(PACKED_LIMITS.maxBytes);
    readKubePkgsJson(document, `${ENTRY_NAME.kubepkg} of ${what}`);
    let entry = await tar.next();
    const isSigned = entry?.name === ENTRY_NAME.signatures;
    const before = isSigned ? parseSignatureLines(await readText(entry!), what) : [];
    if (isSigned) entry = await tar.next();
    const added = sign(document);
    const kept = before.filter(({ keyId }) => !added.some((line) => line.keyId === keyId));
    const lines = [...kept, ...added];
    if (lines.length > MAX_SIGNATURES) {
      throw new CorruptError(
        cannot(`sign ${what}`, `it would have ${lines.length} signatures, ${MAX_SIGNATURES} are allowed`),
      );
    }
    const documents: [string, Uint8Array][] = [
      [ENTRY_NAME.kubepkg, document],
      [ENTRY_NAME.signatures, new TextEncoder().encode(formatSignatureLines(lines))],
    ];
    for (; entry !== undefined && DOCUMENTS.has(entry.name); entry = await tar.next()) {
      documents.push([entry.name, await entry.readAll(PACKED_LIMITS.maxBytes)]);
    }
    await output.partial?.cut(0);
    const head = formatGzipHead(formatTarFiles(documents));
    await output.write(head.bytes);
    const gzip = new GzipWriter(output, head.state);
    for (; entry !== undefined; entry = await tar.next()) await copyEntry(entry, gzip);
    await gzip.write(new Uint8Array(END_BYTES));
    await gzip.finish();
    return lines;
  } finally {
    await tar.cancel();
  }
}

async function copyEntry(entry: TarEntry, gzip: GzipWriter): Promise<void> {
  await gzip.write(formatTarHeader(entry.name, entry.size));
  for (let piece = await entry.read(PIECE_BYTES); piece !== undefined; piece = await entry.read(PIECE_BYTES)) {
    await gzip.write(piece);
  }
  await gzip.write(new Uint8Array(paddedSize(entry.size) - entry.size));
}

async function readText(entry: TarEntry): Promise<string> {
  return new TextDecoder().decode(await entry.readAll(MAX_SIGNATURE_FILE));
}
