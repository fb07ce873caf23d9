import { toTransportError } from "../upstream/transport/transport_error.ts";
import type { Finding } from "./finding.ts";

/** A variable of the environment that names a proxy. */
export interface NamedProxy {
  readonly variable: string;
  /** Where the proxy is; `undefined` when the value is not valid, and the runtime ignores it. */
  readonly address: { readonly hostname: string; readonly port: number } | undefined;
}

/** What to check. */
export interface ProxyOptions {
  readonly proxies: readonly NamedProxy[];
  /** The entries of `NO_PROXY` that the runtime never applies. */
  readonly uselessExceptions: readonly string[];
  /** Opens a connection, and closes it; rejects when there is none in time. */
  readonly connect: (address: { readonly hostname: string; readonly port: number }) => Promise<void>;
}

/** Checks whether the proxies that the environment names accept connections. No value is shown: it may have a password. */
export async function checkProxies({ proxies, uselessExceptions, connect }: ProxyOptions): Promise<Finding[]> {
  const places = Map.groupBy(proxies, ({ address }) => address && `${address.hostname}:${address.port}`);
  const findings = await Promise.all([...places].map(async ([place, named]): Promise<Finding> => {
    const step = `proxy of ${named.map(({ variable }) => variable).join(", ")}`;
    const { address } = named[0]!;
    if (address === undefined) {
      const message = "it is not the URL of a proxy, and is ignored";
      return { step, status: "broken", message, advice: "write http://HOST:PORT" };
    }
    try {
      await connect(address);
      return { step, status: "ok", message: `${place} accepts connections` };
    } catch (error) {
      const advice = "correct the variable, or name the registries that need no proxy in NO_PROXY";
      return { step, status: "broken", message: `${place}: ${toTransportError(error).message}`, advice };
    }
  }));
  // Without a proxy, exceptions do not matter.
  if (proxies.length === 0 || uselessExceptions.length === 0) return findings;
  const message = `these entries have no effect: ${uselessExceptions.join(", ")}`;
  const advice = "write names in lower case, without a port, and domains as .corp.lan";
  return [...findings, { step: "NO_PROXY", status: "warning", message, advice }];
}
