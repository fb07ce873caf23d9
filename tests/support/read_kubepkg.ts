import type { KubePkg } from "../../lib/kubepkg/kubepkg.ts";
import { parseDocuments, readDocuments } from "../../lib/kubepkg/read_kubepkg.ts";
import { assertEquals } from "./assert.ts";

/** Reads one or more KubePkgs, as a release is read: a KubePkg, a KubePkgList, or several YAML documents of either. */
export function readKubePkgs(bytes: Uint8Array, what = "kubepkg.json"): KubePkg[] {
  return parseDocuments(readDocuments(bytes, what), what);
}

/** As `readKubePkgs`, for one KubePkg. */
export function readKubePkg(bytes: Uint8Array, what?: string): KubePkg {
  const [kubepkg, ...others] = readKubePkgs(bytes, what);
  assertEquals(others, []);
  return kubepkg!;
}
