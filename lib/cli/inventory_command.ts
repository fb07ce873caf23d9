import { formatInventory, listInventory } from "../content/inventory.ts";
import { type Invocation, UsageError } from "./command.ts";
import { fetchInventory } from "./fetch_inventory.ts";
import type { Io } from "./io.ts";
import { readSettings } from "./settings.ts";

/** `crpe inventory` */
export async function runInventory(invocation: Invocation, io: Io): Promise<number> {
  const [to, caFile] = [invocation.flag("to"), invocation.flag("ca-file")];
  if (to === undefined && caFile !== undefined) throw new UsageError("Cannot use --ca-file without --to");
  if (to !== undefined && invocation.flag("data") !== undefined) {
    throw new UsageError("Cannot use --to with --data: ask an agent, or look into a folder");
  }
  const digests = to === undefined
    ? await listInventory((await readSettings(invocation, io)).data)
    : [...await fetchInventory(to, { caFile })].sort();
  io.out(formatInventory(digests));
  return 0;
}
