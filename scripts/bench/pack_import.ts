import type { Bench } from "./bench.ts";

/** A release whose images are in a store. */
export interface PackableContent {
  readonly dataDir: string;
  /** The path of its KubePkg. */
  readonly kubepkg: string;
}

/** Packs a release into a file. */
export function packTo(bench: Bench, { dataDir, kubepkg }: PackableContent, file: string): Promise<void> {
  return bench.runCrpe(["pack", kubepkg, "-o", file, `--data=${dataDir}`, "--offline"]);
}

/** Imports a bundle into a data folder. */
export function importTo(bench: Bench, bundle: string, dataDir: string): Promise<void> {
  return bench.runCrpe(["import", bundle, `--data=${dataDir}`]);
}
