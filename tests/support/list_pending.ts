import type { PendingPackage, PendingPackages } from "../../lib/install/pending_packages.ts";
import { assertEquals } from "./assert.ts";

/** Lists the pending packages; each of their records must be readable. */
export async function listPending(packages: Pick<PendingPackages, "scan">): Promise<readonly PendingPackage[]> {
  const { pending, problems } = await packages.scan();
  assertEquals(problems, []);
  return pending;
}
