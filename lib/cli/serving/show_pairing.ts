import { choosePublicOrigin, formatPairing } from "../../page/format_pairing.ts";
import { PairingCodes } from "../../page/pairing_codes.ts";
import { formatHost } from "../../server/listen.ts";
import { listOwnAddresses } from "../../server/own_hosts.ts";
import { fetchCertificate } from "../../agent/client/pinned_relay.ts";
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
import { cannot, CrpeError } from "../../oci/error.ts";

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
  const { data, config } = await readSettings(invocation, io, { canUseBucket: true });
  if (!await isFolderServed(data)) {
    const problem = await findDataProblem(data, { isReading: true, usual: defaultDataFolder(io) });
    const reason = problem ??
      `no crpe is serving the data folder ${data}; start the server first, or name its folder with --data`;
    throw new CrpeError(cannot("make a code", reason));
  }
  const { hostname = "0.0.0.0", port } = readAddress(invocation, io, { config, defaultPort });
  const isTls = (invocation.flag("tls-cert") ?? config["tls-cert"]) !== undefined;
  const { log, by } = await openAudit(data, createWarning(io));
  const secure = isTls ? undefined : await findSecure(data, invocation, { hostname, port });
  const create = () => createPairingText(data, `${isTls ? "https" : "http"}://${formatHost(hostname)}:${port}`, secure);
  io.out(await log.run({ action: "pairing-code", by }, create));
  return 0;
}

// The server may have been started with other flags, or without TLS because the port was in use: this machine is asked.
async function findSecure(
  data: string,
  invocation: Invocation,
  { hostname, port }: { hostname: string; port: number },
): Promise<SecureAddress | undefined> {
  const given = invocation.flag("tls-addr");
  const certificate = given === "off" ? undefined : await readAgentCertificate(data);
  if (certificate === undefined) return undefined;
  const at = given === undefined ? { hostname, port: secondPort(port) } : parseAddress(given, "--tls-addr");
  const host = at.hostname === undefined || at.hostname === "0.0.0.0" ? "127.0.0.1" : formatHost(at.hostname);
  const { fingerprint } = certificate;
  const found = await fetchCertificate(new URL(`https://${host}:${at.port}`)).catch(() => undefined);
  return found?.fingerprint === fingerprint ? { url: `https://0.0.0.0:${at.port}`, fingerprint } : undefined;
}
