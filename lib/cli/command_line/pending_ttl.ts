import { parseDuration } from "../console/quantity.ts";
import type { Invocation } from "./command.ts";

const DEFAULT = "14d";

/** Reads `--pending-ttl` in milliseconds; 0 means that pending packages do not end. */
export function readPendingTtl(invocation: Invocation): number {
  return parseDuration(invocation.flag("pending-ttl") ?? DEFAULT, "--pending-ttl");
}
