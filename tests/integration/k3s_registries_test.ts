import { assertEquals } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { peerTest, runPeer } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

/** What k3s's own parser reads from a file, without unset fields. */
interface Registries {
  readonly mirrors: Readonly<Record<string, readonly string[]>>;
  /** The CA files by address. */
  readonly authorities: Readonly<Record<string, string>>;
  /** The passwords by address. */
  readonly passwords: Readonly<Record<string, string>>;
}

interface Row extends Partial<Registries> {
  readonly what: string;
  readonly current?: string;
  readonly flags?: readonly string[];
  readonly hasCa?: boolean;
}

const CRPE = "http://crpe.lan:6060";
const TLS = "https://crpe.lan:6060";
const CA_FILE = "/etc/rancher/k3s/crpe-ca.crt";
const rows: readonly Row[] = [
  { what: "a new file", mirrors: { "*": [CRPE] } },
  {
    what: "a new file for two hosts",
    flags: ["--host=docker.io", "--host=registry.lan:5000"],
    mirrors: { "docker.io": [CRPE], "registry.lan:5000": [CRPE] },
  },
  { what: "an IPv6 address", flags: ["--to=http://[fd00::1]:6060"], mirrors: { "*": ["http://[fd00::1]:6060"] } },
  {
    what: "an existing file with a login",
    current:
      '# site\nmirrors:\n  docker.io:\n    endpoint:\n    - "https://a.lan"\nconfigs:\n  a.lan:\n    auth: {username: u, password: 0123}\n',
    flags: ["--host=docker.io"],
    mirrors: { "docker.io": [CRPE, "https://a.lan"] },
    passwords: { "a.lan": "0123" },
  },
  {
    what: "a list in flow style",
    current: "mirrors:\n    'docker.io': # hub\n        endpoint: [ 'https://a.lan' ]\n",
    mirrors: { "docker.io": ["https://a.lan"], "*": [CRPE] },
  },
  { what: "empty mirrors", current: "mirrors: {}\nconfigs:\n", mirrors: { "*": [CRPE] } },
  { what: "a CA in a new file", hasCa: true, mirrors: { "*": [TLS] }, authorities: { "crpe.lan:6060": CA_FILE } },
  {
    what: "a CA without a port",
    flags: ["--to=https://crpe.lan"],
    hasCa: true,
    mirrors: { "*": ["https://crpe.lan"] },
    authorities: { "crpe.lan": CA_FILE },
  },
  {
    what: "a CA for an IPv6 address",
    flags: ["--to=https://[fd00::1]:6060"],
    hasCa: true,
    mirrors: { "*": ["https://[fd00::1]:6060"] },
    authorities: { "[fd00::1]:6060": CA_FILE },
  },
  {
    what: "a CA beside other configs",
    current: "configs:\n    a.lan:\n        auth:\n            username: u\n            password: 0x10\nmirrors:\n",
    hasCa: true,
    mirrors: { "*": [TLS] },
    authorities: { "crpe.lan:6060": CA_FILE },
    passwords: { "a.lan": "0x10" },
  },
  {
    what: "a CA beside a login for crpe",
    current: 'configs:\n  "crpe.lan:6060":\n    auth:\n      username: u\n      password: 1e3\n  b.lan: {}\n',
    hasCa: true,
    mirrors: { "*": [TLS] },
    authorities: { "crpe.lan:6060": CA_FILE },
    passwords: { "crpe.lan:6060": "1e3" },
  },
  {
    what: "a CA beside an empty tls",
    current: "configs:\n  crpe.lan:6060:\n    tls: {}\n",
    hasCa: true,
    mirrors: { "*": [TLS] },
    authorities: { "crpe.lan:6060": CA_FILE },
  },
];

for (const { what, current, flags = [], hasCa = false, ...expected } of rows) {
  peerTest(`k3s's parser reads registries.yaml as mirror-config means it: ${what}`, ["k3s_registries"], async () => {
    await using folder = await TestFolder.create();
    const name = "root/etc/rancher/k3s/registries.yaml";
    const path = current === undefined ? `${folder.path}/${name}` : await folder.write(name, current);
    const root = `${folder.path}/root`;
    await Deno.mkdir(root, { recursive: true });
    const caFlags = hasCa ? [`--ca-file=${await folder.write("ca.pem", CA)}`] : [];
    const to = flags.some((flag) => flag.startsWith("--to=")) ? [] : [`--to=${hasCa ? TLS : CRPE}`];
    const args = ["mirror-config", "k3s", `--root=${root}`, ...to, ...flags, ...caFlags];
    const { code, stderr } = await runCrpe([...args, "--write"], { env: { HOME: folder.path } });
    assertEquals(code, 0, stderr);
    assertEquals(await readByK3s(path), {
      mirrors: expected.mirrors ?? {},
      authorities: expected.authorities ?? {},
      passwords: expected.passwords ?? {},
    });
    await runCrpe([...args, "--remove"], { env: { HOME: folder.path } });
    assertEquals(await folder.listFiles("root"), current === undefined ? [] : ["etc/rancher/k3s/registries.yaml"]);
    if (current !== undefined) assertEquals(await Deno.readTextFile(path), current);
  });
}

async function readByK3s(path: string): Promise<Registries> {
  const { code, stdout, stderr } = await runPeer("k3s_registries", [path]);
  assertEquals(code, 0, stderr);
  const { mirrors, configs } = JSON.parse(stdout) as {
    mirrors: Record<string, { endpoint: string[] }> | null;
    configs: Record<string, { auth: { password: string } | null; tls: { ca_file: string } | null }> | null;
  };
  const pick = (value: (config: NonNullable<typeof configs>[string]) => string | undefined) =>
    Object.fromEntries(
      Object.entries(configs ?? {}).flatMap(([host, config]) => value(config) ? [[host, value(config)!]] : []),
    );
  return {
    mirrors: Object.fromEntries(Object.entries(mirrors ?? {}).map(([host, { endpoint }]) => [host, endpoint])),
    authorities: pick(({ tls }) => tls?.ca_file),
    passwords: pick(({ auth }) => auth?.password),
  };
}
