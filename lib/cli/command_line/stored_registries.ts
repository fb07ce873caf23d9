import { writeFileDurably } from "../../files/durable.ts";
import { ifPresent } from "../../files/if_present.ts";
import { normalizeHost } from "../../oci/reference.ts";
import type { ConfigFile, HostConfig } from "./config_file.ts";

/** Settings of hosts, by their names. */
export type Hosts = ConfigFile["hosts"];

const OWNER_ONLY = { mode: 0o600 };

/** The path of the registries that were added on the page. */
function registriesPath(data: string): string {
  return `${data}/kubepkg/.registries.json`;
}

/**
 * Reads the registries that were added on the page of a server: `hosts` as in a configuration file.
 *
 * @param data the data folder
 * @throws {UsageError} when the file is not valid
 */
export async function readStoredRegistries(data: string): Promise<Hosts> {
  const path = registriesPath(data);
  let text: string | undefined;
  try {
    text = await ifPresent(Deno.readTextFile(path));
  } catch (error) {
    // Another user can read the images of a data folder, but not its logins.
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
  }
  if (text === undefined) return {};
  // Loading YAML and validation takes as long as the rest of the start: only a folder with such a file does it.
  const { parseConfigFile } = await import("./config_file.ts");
  return parseConfigFile(text, path).hosts;
}

/** Writes the registries durably, readable by their owner alone. @param data the data folder */
export async function writeStoredRegistries(data: string, hosts: Hosts): Promise<void> {
  const path = registriesPath(data);
  const bytes = new TextEncoder().encode(`${JSON.stringify({ hosts }, undefined, 2)}\n`);
  await writeFileDurably(path, bytes, { temporary: `${path}.${crypto.randomUUID()}.tmp`, ownership: OWNER_ONLY });
}

/** Adds the registries of the page to a configuration. What the configuration says about a host counts alone. */
export function withStoredRegistries(config: ConfigFile, stored: Hosts): ConfigFile {
  const named = new Set(Object.keys(config.hosts).map(normalizeHost));
  const others = Object.entries(stored).filter(([host]) => !named.has(normalizeHost(host)));
  return others.length === 0 ? config : { ...config, hosts: { ...Object.fromEntries(others), ...config.hosts } };
}

/** Finds a host under any of its names. */
export function findHost(hosts: Hosts, name: string): [string, HostConfig] | undefined {
  return Object.entries(hosts).find(([host]) => normalizeHost(host) === normalizeHost(name));
}
