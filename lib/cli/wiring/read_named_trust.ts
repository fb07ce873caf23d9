import type { PackageRecords } from "../../install/package_records.ts";
import type { SiteTrust } from "../../install/trust.ts";
import type { Invocation } from "../command_line/command.ts";
import type { Settings } from "../command_line/settings.ts";

/**
 * Reads whom a server trusts, as `readSiteTrust`. Reading keys costs time at the start, which a server without trusted keys
 * does not pay.
 */
export async function readNamedTrust(
  invocation: Invocation,
  { settings: { config }, openRecords }: {
    readonly settings: Pick<Settings, "config">;
    readonly openRecords: () => Promise<PackageRecords>;
  },
): Promise<SiteTrust | undefined> {
  const isNamed = invocation.flags("trusted-keys").length > 0 || config["trusted-keys"] !== undefined;
  if (!isNamed && !invocation.isSet("trust-on-first-use")) return undefined;
  return await (await import("./read_keys.ts")).readSiteTrust(invocation, { config, records: await openRecords() });
}
