import type { Address } from "../../server/listen.ts";
import { isLoopback } from "../../server/own_hosts.ts";
import { isRegistryHost, normalizeHost } from "../../oci/reference.ts";
import type { Invocation } from "../command_line/command.ts";
import { nameSetting, type Settings } from "../command_line/settings.ts";
import type { OnRefused } from "./host_check.ts";
import type { Handler } from "./serve.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** The settings of logins. */
interface LoginSettings {
  /** Path of the file with the users. */
  readonly path: string;
  /** Hosts whose images need a login; empty for all. */
  readonly privateHosts: readonly string[];
}

/** Reads `--require-login` and `--private`; `undefined` when no login is needed. @throws {UsageError} */
export function readLoginSettings(
  invocation: Invocation,
  { config, configPath }: Pick<Settings, "config" | "configPath">,
): LoginSettings | undefined {
  const path = invocation.flag("require-login") ?? config["require-login"];
  const given = invocation.flags("private");
  const what = nameSetting("private", invocation, configPath);
  const privateHosts = (given.length > 0 ? given : config.private).map((host) => {
    if (isRegistryHost(host)) return normalizeHost(host);
    throw new UsageError(
      cannot(`use ${what} ${JSON.stringify(host)}`, "it is not a host, such as registry.example.com"),
    );
  });
  if (path !== undefined) return { path, privateHosts };
  if (privateHosts.length === 0) return undefined;
  throw new UsageError(cannot(`use ${what}`, "--require-login FILE is missing, which names the users"));
}

/** What `withLogin` is given by the server. */
interface LoginContext {
  readonly warn: (message: string) => void;
  readonly hasTls: boolean;
  readonly address: Address;
  /** Called for each response that is not the registry's. */
  readonly onRefused: OnRefused;
}

/** Wraps the handler of the registry, so that clients must log in. @throws {Error} when the file cannot be used */
export async function withLogin(
  registry: Handler,
  { path, privateHosts }: LoginSettings,
  { warn, hasTls, address, onRefused }: LoginContext,
): Promise<Handler> {
  const [{ Htpasswd }, { createLoginCheck }] = await Promise.all([
    import("../../server/htpasswd.ts"),
    import("../../server/require_login.ts"),
  ]);
  const users = await Htpasswd.open({ path, warn });
  if (!hasTls && !(address.hostname !== undefined && isLoopback(address.hostname))) {
    warn("logins and images are sent without encryption; serve https with --tls-cert and --tls-key, or behind a proxy");
  }
  const check = createLoginCheck({ check: (login, client) => users.check(login, client), privateHosts });
  return async (request, exchange) => {
    const { method } = request;
    const verdict = await check(request, exchange.remoteAddr.hostname);
    if ("refusal" in verdict) {
      onRefused({ method, status: verdict.refusal.status });
      return verdict.refusal;
    }
    const response = await registry(request, exchange);
    for (const [name, value] of Object.entries(verdict.headers)) response.headers.set(name, value);
    return response;
  };
}
