import type { MirrorFile } from "./mirror.ts";
import { cannot, UsageError } from "../oci/error.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/**
 * Reads the certificates in a PEM file. Text around them is dropped.
 *
 * @param what names the file in errors
 * @throws {UsageError} when there are none, or when the file also has a private key
 */
export function parseCaCertificates(text: string, what: string): string {
  const fail = (reason: string, advice?: string) => new UsageError(cannot(`use ${what}`, reason, advice));
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    throw fail("it has a private key, which clients must not get", "give a file with certificates only");
  }
  const found = text.match(CERTIFICATE);
  if (found === null) throw fail("it has no certificate", "it must be in PEM (-----BEGIN CERTIFICATE-----)");
  return found.map((certificate) => `${certificate.replaceAll("\r", "")}\n`).join("");
}

/** Plans the file with the certificates that a client must trust. Certificates that it already has are kept. */
export function planCaFile(path: string, certificates: string): MirrorFile {
  return {
    path,
    merge(current = "") {
      const known = new Set(current.match(CERTIFICATE)?.map(normalize));
      const added = certificates.match(CERTIFICATE)?.filter((certificate) => !known.has(normalize(certificate))) ?? [];
      const gap = current === "" || current.endsWith("\n") ? "" : "\n";
      return {
        text: `${current}${added.length === 0 ? "" : gap}${added.map((pem) => `${pem}\n`).join("")}`,
        notes: [],
      };
    },
  };
}

function normalize(certificate: string): string {
  return certificate.replaceAll(/\s/g, "");
}
