import type { BundleSource } from "../../lib/bytes/byte_reader.ts";
import { installPackages } from "../../lib/install/install_bundle.ts";
import type { InstallOptions } from "../../lib/install/installation.ts";
import type { InstallResult } from "../../lib/install/install_result.ts";

/** Installs the package of a bundle, as `installPackages`. @throws the error of the package */
export async function installBundle(source: BundleSource, options: InstallOptions): Promise<InstallResult> {
  const [outcome] = await installPackages(source, options);
  if (outcome?.result === undefined) throw outcome?.error;
  return outcome.result;
}
