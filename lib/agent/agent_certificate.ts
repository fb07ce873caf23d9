import { ifPresent } from "../files/if_present.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { readOrMake, writePrivateFile } from "../store/private_file.ts";
import { type AgentIdentity, createSelfSigned, fingerprintOf, readCertificate } from "./self_signed.ts";

/** The certificate of an agent, with its key and its fingerprint. */
interface AgentCertificate extends AgentIdentity {
  /** See `fingerprintOf`. */
  readonly fingerprint: string;
}

const HOST_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*$/;
const KEY = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----\n?/;

/**
 * Reads the certificate of an agent, with its key: `kubepkg/.tls.pem` in the data folder.
 *
 * @returns `undefined` if there is none yet
 * @throws {CorruptError} when the file is damaged
 */
export async function readAgentCertificate(data: string): Promise<AgentCertificate | undefined> {
  const path = pathOf(data);
  const pem = await ifPresent(Deno.readTextFile(path));
  if (pem === undefined) return undefined;
  const certificate = readCertificate(pem);
  const [key] = KEY.exec(pem) ?? [];
  if (certificate === undefined || key === undefined) {
    throw new CorruptError(cannot(`use ${path}`, "it is damaged", "delete it to make a new certificate"));
  }
  return { cert: pem.replace(KEY, ""), key, fingerprint: fingerprintOf(certificate) };
}

/** Reads the certificate of an agent, and makes it at the first start. @param names the host names of the machine */
export async function ensureAgentCertificate(data: string, names: readonly string[]): Promise<AgentCertificate> {
  return await readOrMake(data, () => readAgentCertificate(data), async () => {
    const { cert, key } = createSelfSigned(names.filter((name) => name.length < 254 && HOST_NAME.test(name)));
    await writePrivateFile(data, pathOf(data), cert + key);
  });
}

function pathOf(data: string): string {
  return `${data}/kubepkg/.tls.pem`;
}
