import { AnswerRecord } from "../../doctor/answer_record.ts";
import { checkUpstreams } from "../../doctor/check_upstreams.ts";
import type { Finding } from "../../doctor/finding.ts";
import type { RateLimit } from "../../http/rate_limit.ts";
import { cannot, RefusedError, RegistryError } from "../../oci/error.ts";
import { isJsonObject } from "../../oci/json.ts";
import { normalizeHost } from "../../oci/reference.ts";
import type { PageRegistries } from "../../page/page_options.ts";
import { defaultEndpointUrl } from "../../upstream/endpoints.ts";
import { type AddressCheck, createAddressCheck } from "../../upstream/trust/address_check.ts";
import type { ConfigFile, HostConfig } from "../command_line/config_file.ts";
import type { Settings } from "../command_line/settings.ts";
import {
  findHost,
  type Hosts,
  withStoredRegistries,
  writeStoredRegistries,
} from "../command_line/stored_registries.ts";
import type { Io } from "../console/io.ts";
import { openUpstream, resolveHost } from "../wiring/open_upstream.ts";
import type { ServerContext } from "./serve_registry.ts";
import { withInput } from "./with_input.ts";

/** What a test of a registry has found. */
interface TestResult {
  readonly host: string;
  /** When it was asked, as ISO 8601 in UTC. */
  readonly tested: string;
  readonly findings: readonly Finding[];
  readonly rateLimit: RateLimit | undefined;
}

/** A registry that is tried alone. */
interface OneRegistry {
  readonly host: string;
  readonly config: HostConfig;
  /** Whether the page sets it, and not the configuration or a flag. */
  readonly isFromPage: boolean;
}

// In milliseconds: the user is waiting.
const TIMEOUTS = { connect: 10_000, stall: 10_000 };
const MAX_REGISTRIES = 100;
// The other fields name files of this machine, which only its configuration may do.
const FIELDS = ["url", "username", "password", "insecure"];
const WHERE = "that the page sent";

/** What the page of a server does with registries. */
export class PageRegistryBook implements PageRegistries {
  readonly #context: Pick<ServerContext, "content" | "metrics" | "log" | "upstreams">;
  readonly #io: Io;
  readonly #checkAddress: AddressCheck;
  readonly #tests = new Map<string, TestResult>();
  /** The configuration without the registries of the page. */
  readonly #given: ConfigFile;
  #settings: Settings;
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    context: Pick<ServerContext, "settings" | "content" | "metrics" | "log" | "upstreams">,
    io: Io,
    checkAddress: AddressCheck = createAddressCheck({
      resolveHost: ({ hostname }) => resolveHost(hostname),
      now: () => performance.now(),
    }),
  ) {
    this.#context = context;
    this.#io = io;
    this.#settings = context.settings;
    this.#given = context.settings.givenConfig ?? context.settings.config;
    this.#checkAddress = checkAddress;
  }

  /** The settings of the server with the registries as they are now. */
  get settings(): Settings {
    return this.#settings;
  }

  readonly list = (): Promise<unknown> => {
    const { metrics, upstreams } = this.#context;
    const requests = metrics.sumBy("crpe_upstream_requests_total", "host");
    const errors = metrics.sumBy("crpe_upstream_errors_total", "host");
    const describe = (asked: string) => ({
      requests: requests.get(asked) ?? 0,
      errors: errors.get(asked) ?? 0,
      seen: upstreams.find(asked),
    });
    const named = this.#listNamed().map(({ host, url, username, isEditable }) => {
      return { host, url, username, isEditable, ...describe(hostOf(url)), test: this.#tests.get(host) };
    });
    const known = new Set(named.map(({ url }) => hostOf(url)));
    const others = [...new Set([...requests.keys(), ...errors.keys()])].filter((host) => !known.has(host)).sort();
    return Promise.resolve({
      isOffline: this.#settings.offline,
      registries: [...named, ...others.map((host) => ({ host, isEditable: false, ...describe(host) }))],
    });
  };

  readonly save = async (name: string, given: unknown): Promise<unknown> => {
    const { host, config } = await this.#read(name, given);
    if (findHost(this.#given.hosts, host) !== undefined) {
      throw new RefusedError(cannot(`change ${host}`, "the configuration of this server names it", "change it there"));
    }
    await this.#change((hosts) => {
      const others = Object.entries(hosts).filter(([known]) => normalizeHost(known) !== host);
      if (others.length >= MAX_REGISTRIES) {
        throw new RefusedError(
          cannot(`add ${host}`, `${MAX_REGISTRIES} registries are known already`, "remove one first"),
        );
      }
      return Object.fromEntries([...others, [host, config] as const].sort(([a], [b]) => a < b ? -1 : 1));
    });
    this.#context.log.write("info", `the page has set the registry ${host}: ${config.url}`);
    const { url, username } = config;
    return { host, url, username };
  };

  readonly test = async (name: string, given: unknown): Promise<unknown> => {
    if (this.#settings.offline) throw new RefusedError(cannot("ask a registry", "this server is offline"));
    const registry = given === undefined ? this.#find(name) : await this.#read(name, given);
    const { host } = registry;
    const record = new AnswerRecord(fetch, Date.now);
    const { source } = await this.#tryOpen(registry, record);
    const findings = await checkUpstreams({ source, hosts: [host], record });
    const result: TestResult = {
      host,
      tested: new Date().toISOString(),
      findings,
      rateLimit: record.rateLimits.values().next().value,
    };
    // The state of a registry is that of the settings which are in use.
    if (given === undefined) this.#tests.set(host, result);
    return result;
  };

  readonly remove = async (name: string): Promise<void> => {
    const [known] = findHost(this.#stored, name) ?? [];
    if (known === undefined) {
      throw new RegistryError("NOT_FOUND", cannot(`remove ${shorten(name)}`, "it was not added on this page"));
    }
    await this.#change((hosts) => Object.fromEntries(Object.entries(hosts).filter(([host]) => host !== known)));
    this.#context.log.write("info", `the page has removed the registry ${known}`);
  };

  get #stored(): Hosts {
    return this.#settings.storedHosts ?? {};
  }

  #listNamed() {
    const { upstreams } = this.#settings;
    const byFlags = upstreams.map((text) => {
      const [host = "", url] = text.split(/=(.*)/, 2);
      return { host: normalizeHost(host), url: url ?? defaultEndpointUrl(normalizeHost(host)), isEditable: false };
    });
    const describe = ([host, config]: [string, HostConfig], isEditable: boolean) =>
      [config.url ?? []].flat().map((url) => ({
        host: normalizeHost(host),
        url,
        username: config.username,
        isEditable,
      }));
    const given = Object.entries(this.#given.hosts).flatMap((entry) => describe(entry, false));
    const stored = Object.entries(this.#stored).flatMap((entry) => describe(entry, true));
    return [...byFlags, ...given, ...stored] as { host: string; url: string; username?: string; isEditable: boolean }[];
  }

  #find(name: string): OneRegistry {
    const host = normalizeHost(name);
    const [, config] = findHost(this.#settings.config.hosts, host) ?? [];
    const named = this.#listNamed().find((it) => it.host === host);
    if (named !== undefined) return { host, config: { ...config, url: named.url }, isFromPage: named.isEditable };
    throw new RegistryError("NOT_FOUND", cannot(`find ${shorten(name)}`, "no such registry is configured"));
  }

  /** Checks settings in the same way as those of a configuration file, and fills in the URL and a known password. */
  async #read(name: string, given: unknown): Promise<OneRegistry> {
    const host = normalizeHost(name.trim());
    const fields = isJsonObject(given) ? given : {};
    const foreign = Object.keys(fields).find((field) => !FIELDS.includes(field));
    if (foreign !== undefined) {
      throw new RegistryError(
        "INVALID",
        cannot(
          `use ${shorten(foreign)}`,
          `the page sets ${FIELDS.join(", ")}`,
          "other fields are set in the configuration",
        ),
      );
    }
    const used = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== "" && value !== null));
    const text = JSON.stringify({ hosts: { [host]: used } });
    // Loaded here, because few pages change registries.
    const { parseConfigFile } = await import("../command_line/config_file.ts");
    const parsed = (await withInput(() => parseConfigFile(text, WHERE))).hosts[host];
    const url = parsed?.url ?? defaultEndpointUrl(host);
    if (typeof url !== "string") throw new RegistryError("INVALID", cannot("use several URLs", "name one"));
    const known = findHost(this.#stored, host)?.[1];
    // A password is kept for the same user at the same address alone: another address must not get it.
    const isKnown = known?.url === url && known.username === parsed?.username && known.username !== undefined;
    const config: HostConfig = { ...(isKnown ? { password: known.password } : {}), ...parsed, url };
    const registry = { host, config, isFromPage: true };
    await withInput(() => this.#tryOpen(registry));
    // The page may be asked to try addresses that the machine reaches, but its user must not.
    const checked = await this.#checkAddress(new URL(url.includes("://") ? url : `https://${url}`));
    if (checked.class === "forbidden") {
      throw new RegistryError("DENIED", cannot(`use ${url}`, "it is a link-local, multicast or metadata address"));
    }
    return registry;
  }

  /** Opens one registry alone; nothing is sent to it. @throws {UsageError} when a field is not valid */
  async #tryOpen({ host, config, isFromPage }: OneRegistry, record?: AnswerRecord) {
    const one: Hosts = { [host]: config };
    const [given, storedHosts] = isFromPage ? [{}, one] : [one, {}];
    const givenConfig = { ...this.#given, hosts: given };
    const settings: Settings = {
      ...this.#settings,
      upstreams: [],
      isClosed: true,
      config: withStoredRegistries(givenConfig, storedHosts),
      givenConfig,
      configPath: undefined,
      storedHosts: storedHosts,
    };
    return await openUpstream(settings, this.#io, {
      warn: (message) => this.#context.log.write("warning", message),
      isInteractive: true,
      timeouts: TIMEOUTS,
      fetch: record?.fetch,
    });
  }

  async #change(edit: (hosts: Hosts) => Hosts): Promise<void> {
    const change = this.#last.then(async () => {
      const before = this.#stored;
      const storedHosts = edit(before);
      const settings = { ...this.#settings, storedHosts, config: withStoredRegistries(this.#given, storedHosts) };
      // Written first: what the disk does not take must not be in use until the next start.
      await writeStoredRegistries(settings.data, storedHosts);
      await this.#context.content.reconfigure(settings);
      this.#settings = settings;
      for (const host of Object.keys({ ...before, ...storedHosts })) {
        if (storedHosts[host] === before[host]) continue;
        this.#tests.delete(host);
        for (const url of [before[host]?.url, storedHosts[host]?.url].flat()) {
          if (url !== undefined) this.#context.upstreams.forget(hostOf(url));
        }
      }
    });
    this.#last = change.catch(() => {});
    await change;
  }
}

function hostOf(url: string): string {
  return URL.parse(url.includes("://") ? url : `https://${url}`)?.host ?? url;
}

function shorten(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
