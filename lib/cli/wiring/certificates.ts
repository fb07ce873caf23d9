import { readText } from "../../files/read_text.ts";
import type { ClientCertificate } from "../../upstream/endpoints.ts";
import type { HostConfig } from "../command_line/config_file.ts";
import type { Io } from "../console/io.ts";
import { readNamed } from "./credentials.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** The certificates for connections to one host, in PEM. */
interface HostCertificates {
  readonly caCerts: readonly string[];
  readonly clientCertificate?: ClientCertificate;
}

// Where systems keep the certificates that they trust, as one file: the first that exists is the one.
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

const CERTIFICATE = "-----BEGIN CERTIFICATE-----";

/** Reads the certificates that this system trusts: `$SSL_CERT_FILE`, else the first file of `bundles` that exists. */
export function readSystemCertificates(io: Pick<Io, "env">, bundles: readonly string[] = SYSTEM_BUNDLES): string[] {
  const named = io.env("SSL_CERT_FILE");
  for (const path of named === undefined ? bundles : [named]) {
    try {
      const text = Deno.readTextFileSync(path);
      if (text.includes(CERTIFICATE)) return [text];
    } catch {
      // The next one may exist.
    }
  }
  return [];
}

/** Returns the existing ones of docker's and podman's folders with the certificates of hosts. */
export async function findCertificateFolders(io: Pick<Io, "env">): Promise<string[]> {
  const home = io.env("HOME");
  const config = io.env("XDG_CONFIG_HOME") ?? (home === undefined ? undefined : `${home}/.config`);
  const folders = [
    ...(config === undefined ? [] : [`${config}/containers/certs.d`]),
    "/etc/containers/certs.d",
    "/etc/docker/certs.d",
  ];
  const exist = await Promise.all(folders.map((folder) => Deno.stat(folder).then(() => true, () => false)));
  return folders.filter((_, i) => exist[i]);
}

/**
 * Reads the certificates of a host: those that the configuration names, and those of docker and podman, which are in a
 * folder with the host's name (`*.crt`: authorities; `*.cert` and `*.key`: the client's certificate).
 *
 * @param name the host, as in image names
 * @throws {Error} when a file that the configuration names cannot be read
 */
export async function readHostCertificates(
  name: string,
  host: HostConfig | undefined,
  folders: readonly string[],
): Promise<HostCertificates> {
  const caFile = host?.["ca-file"];
  const configured = caFile === undefined ? [] : [await readCertificates(caFile, `hosts.${name}.ca-file`)];
  const { "client-cert": certFile, "client-key": keyFile } = host ?? {};
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new UsageError(cannot(`use hosts.${name}`, "client-cert and client-key must be given together"));
  }
  const clientCertificate = certFile === undefined ? undefined : {
    cert: await readNamed(certFile, `hosts.${name}.client-cert`),
    key: await readNamed(keyFile!, `hosts.${name}.client-key`),
  };
  const found = await Promise.all(folders.map((folder) => readFolder(`${folder}/${name}`)));
  return {
    caCerts: [...configured, ...found.flatMap(({ caCerts }) => caCerts)],
    clientCertificate: clientCertificate ?? found.find((each) => each.clientCertificate)?.clientCertificate,
  };
}

async function readCertificates(path: string, field: string): Promise<string> {
  const text = await readNamed(path, field);
  // The TLS library accepts such a file, and then trusts nothing more than before.
  if (!text.includes(CERTIFICATE)) {
    throw new UsageError(cannot(`use ${path} (${field})`, "it has no certificate in PEM"));
  }
  return text;
}

async function readFolder(folder: string): Promise<HostCertificates> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) names.push(name);
  } catch {
    // There is no such folder for most hosts, and it may be readable by root alone.
    return { caCerts: [] };
  }
  names.sort();
  const read = async (name: string) => await readIfPossible(`${folder}/${name}`) ?? "";
  const caCerts = await Promise.all(names.filter((name) => name.endsWith(".crt")).map(read));
  const certName = names.find((name) => name.endsWith(".cert") && names.includes(name.replace(/cert$/, "key")));
  if (certName === undefined) return { caCerts };
  const [cert = "", key = ""] = await Promise.all([certName, certName.replace(/cert$/, "key")].map(read));
  return { caCerts, clientCertificate: { cert, key } };
}

async function readIfPossible(path: string): Promise<string | undefined> {
  try {
    return await readText(path);
  } catch {
    return undefined;
  }
}
