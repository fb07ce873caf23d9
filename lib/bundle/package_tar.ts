import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { ENTRY_NAME } from "./entry_name.ts";
import { BLOCK_BYTES, formatTarHeader, paddedSize } from "./tar_header.ts";

/** A bundle that has a package's `kubepkg.json` alone: for a store that holds all which the package names. */
export function formatPackageTar(kubepkg: KubePkg): Uint8Array<ArrayBuffer> {
  const document = new TextEncoder().encode(JSON.stringify(kubepkg));
  const header = formatTarHeader(ENTRY_NAME.kubepkg, document.length);
  const bytes = new Uint8Array(header.length + paddedSize(document.length) + 2 * BLOCK_BYTES);
  bytes.set(header);
  bytes.set(document, header.length);
  return bytes;
}
