import { choosePublicOrigin, formatPairing } from "../../page/format_pairing.ts";
import { PairingCodes } from "../../page/pairing_codes.ts";
import { formatHost } from "../../server/listen.ts";
import { listOwnAddresses } from "../../server/own_hosts.ts";
import { readAgentCertificate } from "../../agent/agent_certificate.ts";
import type { SecureAddress } from "../../agent/options.ts";
import { isFolderServed } from "../../store/data_folder.ts";
import type { Invocation } from "../command_line/command.ts";
import { openAudit } from "../wiring/open_audit.ts";
import { defaultDataFolder, parseAddress, readAddress, readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { secondPort } from "./open_secure_listener.ts";
import { findDataProblem } from "../wiring/check_data.ts";

/**
 * Makes a one-time code, and returns it as text for a terminal.
 *
 * @param url the URL that the server listens on
 * @param secure where it also answers over TLS
 */
export async function createPairingText(data: string, url: string, secure?: SecureAddress): Promise<string> {
  return formatPairing(choosePublicOrigin(url, listOwnAddresses()), await new PairingCodes(data).create(), secure);
}

/**
 * `crpe agent --pair`: makes a one-time code for a server that was started with the same flags.
 *
 * @throws {Error} when no server is running with this data folder: none would accept the code
 */
export async function runPair(invocation: Invocation, io: Io, defaultPort: number): Promise<number> {
  const { data, config } = await readSettings(invocation, io);
  if (!await isFolderServed(data)) {
    const problem = await findDataProblem(data, { isReading: true, usual: defaultDataFolder(io) });
    const reason = problem ??
      `no crpe is serving the data folder ${data}; start the server first, or name its folder with --data`;
    throw new Error(`Cannot make a code: ${reason}`);
  }
  const { hostname = "0.0.0.0", port } = readAddress(invocation, io, { config, defaultPort });
  const isTls = (invocation.flag("tls-cert") ?? config["tls-cert"]) !== undefined;
  const { log, by } = await openAudit(data, createWarning(io));
  const secure = isTls ? undefined : await findSecure(data, invocation, port);
  const create = () => createPairingText(data, `${isTls ? "https" : "http"}://${formatHost(hostname)}:${port}`, secure);
  io.out(await log.run({ action: "pairing-code", by }, create));
  return 0;
}

// A server that listens on any free port cannot be asked which one that is.
async function findSecure(data: string, invocation: Invocation, port: number): Promise<SecureAddress | undefined> {
  const given = invocation.flag("tls-addr");
  const at = given === undefined ? secondPort(port) : given === "off" ? 0 : parseAddress(given, "--tls-addr").port;
  const certificate = at === 0 ? undefined : await readAgentCertificate(data);
  return certificate && { url: `https://0.0.0.0:${at}`, fingerprint: certificate.fingerprint };
}
