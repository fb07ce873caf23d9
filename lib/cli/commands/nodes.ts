import { AGENT_PORT } from "../../agent/protocol.ts";
import { findNodes, type FoundNode } from "../../agent/client/find_nodes.ts";
import { KnownAgents } from "../../agent/client/known_agents.ts";
import { addressesOfSubnet, localSubnets } from "../../agent/client/subnet.ts";
import { DEFAULT_NAMESPACE, formatPackageId } from "../../kubepkg/package_id.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatJson, formatTable } from "../console/table.ts";
import { cannot, CrpeError, UsageError } from "../../oci/error.ts";

/** `crpe nodes` */
export const COMMAND: CommandDefinition = {
  interrupted: "nothing was changed",
  details: [
    "Without HOST, every address of the /24 networks in which this machine has a private IPv4 address is asked once, at",
    "most 64 at a time. The exit status is 1 if a named HOST does not answer as an agent.",
  ].join("\n"),
  arity: [0, 256],
  flags: [
    {
      name: "subnet",
      value: "CIDR",
      summary: "ask these addresses instead, such as 10.1.2.0/24; at most a /24",
    },
    { name: "port", value: "PORT", summary: "port of the agents [36060]" },
    { ...FLAG.data, summary: "the data folder, which has the certificates that are known" },
    FLAG.json,
  ],
  examples: [
    ["crpe nodes", "ask the local network"],
    ["crpe nodes 192.168.1.20:36060", "ask one agent"],
  ],
  run: runNodes,
};

const MAX_PORT = 65_535;

async function runNodes(invocation: Invocation, io: Io): Promise<number> {
  const port = readPort(invocation.flag("port"));
  const named = invocation.arguments.map((host) => parseHost(host, port));
  const subnet = invocation.flag("subnet");
  if (named.length > 0 && subnet !== undefined) {
    throw new UsageError(cannot("use --subnet with hosts", "name the hosts or the subnet"));
  }
  const addresses = named.length > 0 ? named : addressesToScan(subnet).map((address) => `${address}:${port}`);
  const nodes = await findNodes(addresses, { fetch, timeout: (milliseconds) => AbortSignal.timeout(milliseconds) });
  if (invocation.isSet("json")) io.out(formatJson(nodes));
  else if (nodes.length > 0) io.out(formatTable(["NODE", "ADDRESS", "PLATFORMS", "PACKAGES"], nodes.map(formatRow)));
  await warnOfChanges(nodes, invocation, io);
  // A named host that does not answer is a failure; a network without agents is not.
  const silent = named.filter((address) => !nodes.some((node) => node.address === address));
  for (const address of silent) io.err(`crpe: no agent at ${address}\n`);
  if (named.length === 0 && nodes.length === 0) {
    io.err(`crpe: no agents found at ${addresses.length} ${addresses.length === 1 ? "address" : "addresses"}\n`);
  }
  return silent.length > 0 ? 1 : 0;
}

// What an agent says over http is no proof; that its certificate has changed is worth a look all the same.
async function warnOfChanges(nodes: readonly FoundNode[], invocation: Invocation, io: Io): Promise<void> {
  const data = await readSettings(invocation, io).then((settings) => settings.data, () => undefined);
  if (data === undefined) return;
  const known = new KnownAgents(data);
  for (const { address, secure } of nodes) {
    if (secure === undefined) continue;
    const host = `${address.slice(0, address.lastIndexOf(":"))}:${secure.port}`;
    const expected = await known.find(host);
    if (expected === undefined || expected === secure.fingerprint) continue;
    createWarning(io)(
      `the certificate of ${host} is ${secure.fingerprint}, and not ${expected} as before (${known.path})`,
    );
  }
}

function addressesToScan(subnet: string | undefined): string[] {
  if (subnet === undefined) {
    return localSubnets(listInterfaces()).flatMap((it) => addressesOfSubnet(it) ?? []);
  }
  const addresses = addressesOfSubnet(subnet);
  if (addresses !== undefined) return addresses;
  throw new UsageError(
    cannot(`use --subnet ${JSON.stringify(subnet)}`, "write ADDRESS/BITS with /24 to /32, such as 10.1.2.0/24"),
  );
}

function listInterfaces(): Deno.NetworkInterfaceInfo[] {
  try {
    return Deno.networkInterfaces();
  } catch (cause) {
    // Android does not let programs list the network interfaces.
    throw new CrpeError(
      cannot("list this machine's networks", "the system does not allow it", "name one with --subnet"),
      {
        cause,
      },
    );
  }
}

function readPort(text: string | undefined): number {
  if (text === undefined) return AGENT_PORT;
  const port = Number(text);
  if (/^[0-9]+$/.test(text) && port > 0 && port <= MAX_PORT) return port;
  throw new UsageError(cannot(`use --port ${JSON.stringify(text)}`, `write a number from 1 to ${MAX_PORT}`));
}

// `name`, `name:port`, `10.0.0.5`, `[fe80::1]:36060`
function parseHost(text: string, defaultPort: number): string {
  const [, name, digits] =
    /^([A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\])(?::([0-9]{1,5}))?$/.exec(text) ??
      [];
  const port = digits === undefined ? defaultPort : Number(digits);
  if (name !== undefined && port <= MAX_PORT) return `${name}:${port}`;
  throw new UsageError(
    cannot(`use the host ${JSON.stringify(text)}`, "write HOST or HOST:PORT, such as 10.1.2.3:36060"),
  );
}

function formatRow({ id, address, platforms, packages }: FoundNode): string[] {
  const installed = packages?.map(({ name, namespace = DEFAULT_NAMESPACE, version }) => {
    return `${formatPackageId({ name, namespace })}@${version}`;
  }).join(",");
  return [id, address, platforms.join(",") || "-", installed === undefined ? "?" : installed || "-"];
}
