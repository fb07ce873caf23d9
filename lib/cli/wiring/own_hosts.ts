import { isAuthority } from "../../server/check_host.ts";
import { findDomains, listOwnAddresses, OwnHosts } from "../../server/own_hosts.ts";
import { UsageError } from "../console/usage_error.ts";

/** Reads a `--host-name`: a name or an IP address. @throws {UsageError} when it is neither */
export function readHostName(text: string): string {
  const host = text.includes(":") && !text.startsWith("[") ? `[${text}]` : text;
  const isHost = isAuthority(host) && URL.parse(`http://${host}`)?.port === "" && !/:[0-9]*$/.test(host);
  if (isHost) return host;
  throw new UsageError(`Cannot use --host-name ${JSON.stringify(text)}: write a name or an IP address, without a port`);
}

/** Reads under which names and addresses this machine is reached. @param given names and addresses of `--host-name` */
export async function readOwnHosts(given: readonly string[]): Promise<OwnHosts> {
  const hostname = Deno.hostname();
  const read = async (path: string) => await Deno.readTextFile(path).catch(() => "");
  const [resolvConf, hosts] = await Promise.all([read("/etc/resolv.conf"), read("/etc/hosts")]);
  const domains = findDomains(hostname, { resolvConf, hosts });
  return new OwnHosts({ hostname, domains, listAddresses: listOwnAddresses }, given);
}
