import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import { crc32, deflateRawSync } from "node:zlib";

/** A file of a zip archive. */
export interface ZipFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** `stored` without compression; `following` with sizes behind the data, as Java writes them. Default: `sized`. */
  readonly kind?: "stored" | "following" | "sized" | "encrypted";
}

const encoder = new TextEncoder();
const [STORED, DEFLATED] = [0, 8];

/** Makes a zip archive (APPNOTE.TXT of PKWARE), as far as its local headers go: the central directory has no entries. */
export function makeZip(files: readonly ZipFile[]): Uint8Array<ArrayBuffer> {
  return joinChunks([...files.map(makeEntry), encoder.encode("PK\x05\x06"), new Uint8Array(18)]);
}

function makeEntry({ name, bytes, kind = "sized" }: ZipFile): Uint8Array<ArrayBuffer> {
  const data = kind === "stored" ? bytes : new Uint8Array(deflateRawSync(bytes));
  const encoded = encoder.encode(name);
  const numbers = (hasSizes: boolean) => {
    const view = new DataView(new ArrayBuffer(12));
    if (!hasSizes) return view;
    view.setUint32(0, crc32(bytes), true);
    view.setUint32(4, data.length, true);
    view.setUint32(8, bytes.length, true);
    return view;
  };
  const header = new DataView(new ArrayBuffer(30));
  header.setUint32(0, 0x04034b50, true);
  header.setUint16(4, 20, true);
  header.setUint16(6, (kind === "following" ? 8 : 0) | (kind === "encrypted" ? 1 : 0), true);
  header.setUint16(8, kind === "stored" ? STORED : DEFLATED, true);
  new Uint8Array(header.buffer).set(new Uint8Array(numbers(kind !== "following").buffer), 14);
  header.setUint16(26, encoded.length, true);
  const end = kind === "following" ? [encoder.encode("PK\x07\x08"), new Uint8Array(numbers(true).buffer)] : [];
  return joinChunks([new Uint8Array(header.buffer), encoded, data, ...end]);
}
