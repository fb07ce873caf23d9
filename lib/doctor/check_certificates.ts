import type { Finding } from "./finding.ts";

/**
 * Checks the file that `$SSL_CERT_FILE` names, which replaces the certificates of the system.
 *
 * @param read reads the file
 */
export async function checkCertificates(
  path: string | undefined,
  read: (path: string) => Promise<string> = Deno.readTextFile,
): Promise<Finding[]> {
  if (path === undefined) return [];
  const step = "certificates of SSL_CERT_FILE";
  const broken = (message: string): Finding[] => {
    const advice = "name a file with certificates (PEM) that this user may read, or unset the variable";
    return [{ step, status: "broken", message, advice }];
  };
  try {
    const count = (await read(path)).split("-----BEGIN CERTIFICATE-----").length - 1;
    if (count === 0) return broken(`${path} has no certificate, so that no authority of the system is trusted`);
    return [{ step, status: "ok", message: `${path} has ${count} ${count === 1 ? "certificate" : "certificates"}` }];
  } catch (error) {
    const reason = error instanceof Deno.errors.PermissionDenied ? "permission denied" : "there is no such file";
    return broken(`${path} cannot be read: ${reason}`);
  }
}
