import { findForeignHost, isAuthority, refuseBadHost, refuseForeignHost } from "../../server/check_host.ts";
import { findDomains, listOwnAddresses, OwnHosts } from "../../server/own_hosts.ts";
import type { Invocation } from "../command_line/command.ts";
import type { Handler } from "./serve.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** Reads the names and addresses that `--host-name` allows. @throws {UsageError} when one is not valid */
export function readHostNames(invocation: Invocation): string[] {
  return invocation.flags("host-name").map(readHostName);
}

/** Reads the names under which this machine is reached. @param given names and addresses that users have allowed */
export async function readOwnHosts(given: readonly string[]): Promise<OwnHosts> {
  const hostname = Deno.hostname();
  const read = async (path: string) => await Deno.readTextFile(path).catch(() => "");
  const [resolvConf, hosts] = await Promise.all([read("/etc/resolv.conf"), read("/etc/hosts")]);
  const domains = findDomains(hostname, { resolvConf, hosts });
  return new OwnHosts({ hostname, domains, listAddresses: listOwnAddresses }, given);
}

/** Called with the method of a request that does not reach the registry, and the status of its response. */
export type OnRefused = (request: { readonly method: string; readonly status: number }) => void;

/** Wraps a handler: requests with an invalid host, or with the name of a web page, do not reach it. */
export function withHostCheck(handler: Handler, given: readonly string[], onRefused: OnRefused = () => {}): Handler {
  const refuse = ({ method }: Request, response: Response) => {
    onRefused({ method, status: response.status });
    return response;
  };
  let own: Promise<OwnHosts> | undefined;
  return (request, exchange) => {
    const refused = refuseBadHost(request);
    if (refused !== undefined) return refuse(request, refused);
    const { localAddress } = exchange;
    // Most requests have an address or a short name. The names of this machine are read only for others.
    if (findForeignHost(request, { localAddress, isOwnHost: () => false }) === undefined) {
      return handler(request, exchange);
    }
    return (own ??= readOwnHosts(given)).then((hosts) => {
      const foreign = findForeignHost(request, { localAddress, isOwnHost: (host) => hosts.has(host, localAddress) });
      return foreign === undefined ? handler(request, exchange) : refuse(request, refuseForeignHost(request, foreign));
    });
  };
}

function readHostName(text: string): string {
  const host = text.includes(":") && !text.startsWith("[") ? `[${text}]` : text;
  const isHost = isAuthority(host) && URL.parse(`http://${host}`)?.port === "" && !/:[0-9]*$/.test(host);
  if (isHost) return host;
  throw new UsageError(
    cannot(`use --host-name ${JSON.stringify(text)}`, "write a name or an IP address, without a port"),
  );
}
