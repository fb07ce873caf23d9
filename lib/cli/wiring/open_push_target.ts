import { cannot, RefusedError, UsageError } from "../../oci/error.ts";
import { DEFAULT_HOST, isHostSegment, isRegistryHost, isRepositoryPath, normalizeHost } from "../../oci/reference.ts";
import { listOwnAddresses, OwnHosts } from "../../server/own_hosts.ts";
import type { EndpointClient } from "../../upstream/endpoint_client.ts";
import { EndpointPool } from "../../upstream/endpoint_pool.ts";
import { createEndpointSelector, defaultEndpointUrl } from "../../upstream/endpoints.ts";
import type { OnUpstreamEvent } from "../../upstream/transport/events.ts";
import type { Settings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { VERSION } from "../console/version.ts";
import { quoteOperand } from "../console/quote_operand.ts";
import { findCertificateFolders, readHostCertificates, readSystemCertificates } from "./certificates.ts";
import { Credentials } from "./credentials.ts";
import { resolveHost } from "./open_upstream.ts";
import { readProxyEnvironment } from "./proxy_environment.ts";

/** The registry that images are copied to, as a user has written it. */
export interface PushTarget {
  /** As in image names: `registry.lan:5000`. */
  readonly host: string;
  /** Put in front of each repository; empty for none. */
  readonly prefix: string;
  /** Scheme and host. */
  readonly url: string;
}

/** Options of `openPushTarget`. */
interface PushTargetOptions {
  /** Whether a login may be sent unencrypted to another machine. */
  readonly isInsecureAllowed: boolean;
  /** Called with problems that do not stop the command. */
  readonly warn: (message: string) => void;
  readonly onEvent: OnUpstreamEvent;
}

/** The client of a target. */
export interface OpenedTarget {
  readonly client: EndpointClient;
  /** @throws {RefusedError} when the login of a repository would be sent unencrypted to another machine */
  readonly checkLogin: (path: string) => void;
}

/**
 * Parses `[http(s)://]REGISTRY[/PREFIX]`. Without a scheme it is https, and http on this machine, as for docker.
 *
 * @throws {UsageError} when it is missing or not valid
 */
export function parsePushTarget(text: string | undefined): PushTarget {
  if (text === undefined) throw new UsageError(cannot("copy", "name the registry with --to REGISTRY[/PREFIX]"));
  const [, scheme, rest = ""] = /^(?:(https?):\/\/)?(.*?)\/*$/i.exec(text)!;
  const [given = "", ...segments] = rest.split("/");
  const prefix = segments.join("/");
  const isHost = isHostSegment(given) && isRegistryHost(given);
  if (!isHost || prefix !== "" && !isRepositoryPath(prefix)) {
    const shown = quoteOperand(text);
    const advice = isHost || given.includes("@") || /[^\w.-]/.test(given)
      ? ""
      : `; if ${given} is its name, write ${given}:443`;
    throw new UsageError(
      cannot(`use --to ${shown}`, `write REGISTRY or REGISTRY/PREFIX, such as registry.lan:5000/mirror${advice}`),
    );
  }
  const name = normalizeHost(given);
  if (name === DEFAULT_HOST) return { host: name, prefix, url: defaultEndpointUrl(name) };
  // A name without port 80 would be that of the registry at port 443.
  const host = /:0*80$/.test(given) ? `${name.replace(/:80$/, "")}:80` : name;
  const address = given.toLowerCase();
  return {
    host,
    prefix,
    url: scheme === undefined ? defaultEndpointUrl(address) : `${scheme.toLowerCase()}://${address}`,
  };
}

/** Opens the registry that images are copied to, with its login and certificates. */
export async function openPushTarget(
  target: PushTarget,
  { settings, io, ...options }: PushTargetOptions & { readonly settings: Settings; readonly io: Io },
): Promise<OpenedTarget> {
  const { url } = target;
  const host = normalizeHost(target.host);
  const { config } = settings;
  const credentials = await Credentials.open(settings, io, options.warn);
  const named = Object.entries(config.hosts).find(([name]) => normalizeHost(name) === host)?.[1];
  const entry = {
    host,
    url,
    ...await readHostCertificates(host, named, await findCertificateFolders(io)),
    tokenHosts: named?.["token-hosts"],
    maxConnections: named?.["max-connections"],
  };
  const { proxyOf } = readProxyEnvironment(io);
  const pool = new EndpointPool({
    endpointsOf: createEndpointSelector([entry], { readRootCerts: () => readSystemCertificates(io) }),
    isPush: true,
    userAgent: `crpe/${VERSION}`,
    credentialFor: (login) => credentials.for(login),
    proxyOf,
    resolveHost: async (to) => proxyOf(to) === undefined ? await resolveHost(to.hostname) : undefined,
    onEvent: options.onEvent,
  });
  const { client } = pool.clientsOf(host)[0]!;
  const own = new OwnHosts({ hostname: "", domains: [], listAddresses: listOwnAddresses });
  const { protocol, hostname } = new URL(url);
  // A request to this machine may go through a proxy on another one.
  const proxy = proxyOf(new URL(url));
  const isPlain = protocol === "http:" && (proxy !== undefined || !own.has(hostname));
  const checkLogin = (path: string) => {
    if (!isPlain || options.isInsecureAllowed || !client.hasCredential(path)) return;
    throw new RefusedError(
      cannot(
        `copy to ${url}/${path}`,
        `the login is not sent unencrypted to another machine${proxy === undefined ? "" : ` (the proxy ${proxy})`}`,
        "use https, or allow it with --insecure-http",
      ),
    );
  };
  return { client, checkLogin };
}
