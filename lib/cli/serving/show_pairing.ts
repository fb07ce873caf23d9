import { choosePublicOrigin, formatPairing } from "../../page/format_pairing.ts";
import { PairingCodes } from "../../page/pairing_codes.ts";
import { formatHost } from "../../server/listen.ts";
import { listOwnAddresses } from "../../server/own_hosts.ts";
import type { Invocation } from "../command_line/command.ts";
import { openAudit } from "../wiring/open_audit.ts";
import { readAddress, readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";

/** Makes a one-time code, and returns it as text for a terminal. @param url the URL that the server listens on */
export async function createPairingText(data: string, url: string): Promise<string> {
  return formatPairing(choosePublicOrigin(url, listOwnAddresses()), await new PairingCodes(data).create());
}

/** `crpe agent --pair`: makes a one-time code for a server that was started with the same flags. */
export async function runPair(invocation: Invocation, io: Io, defaultPort: number): Promise<number> {
  const { data, config } = await readSettings(invocation, io);
  const { hostname = "0.0.0.0", port } = readAddress(invocation, io, { config, defaultPort });
  const isTls = (invocation.flag("tls-cert") ?? config["tls-cert"]) !== undefined;
  const { log, by } = await openAudit(data, createWarning(io));
  const create = () => createPairingText(data, `${isTls ? "https" : "http"}://${formatHost(hostname)}:${port}`);
  io.out(await log.run({ action: "pairing-code", by }, create));
  return 0;
}
