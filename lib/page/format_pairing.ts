import { renderUnicodeCompact } from "uqr";
import type { SecureAddress } from "../agent/options.ts";
import type { PairingCode } from "./pairing_codes.ts";

// ISO/IEC 18004, 9.1: the quiet zone. Two modules are enough for the readers of phones, and fit into 80 columns.
const BORDER = 2;

/**
 * Formats the address of the page with a one-time code, as a QR code for a terminal and as text.
 *
 * @param origin the server's address, as a phone reaches it
 * @param secure where it also answers over TLS: a program that reads the code pins the certificate
 */
export function formatPairing(origin: string, { code }: PairingCode, secure?: SecureAddress): string {
  // The fragment of a URL is not sent to the server, so that it is in no log.
  const pin = secure === undefined ? "" : `&tls=${new URL(secure.url).port}&${secure.fingerprint.replace(":", "=")}`;
  const url = `${origin}/#t=${code}${pin}`;
  return `${
    renderUnicodeCompact(url, { border: BORDER })
  }\n${url}\nopens the page and signs in, once, within ten minutes\n`;
}

/**
 * Chooses the address that other machines reach: a server that listens everywhere has the machine's own.
 *
 * @param url the URL that the server listens on
 * @param addresses the addresses of the machine
 */
export function choosePublicOrigin(url: string, addresses: readonly string[]): string {
  const at = new URL(url);
  if (at.hostname !== "0.0.0.0" && at.hostname !== "[::]") return at.origin;
  const [first = "127.0.0.1"] = addresses.filter((address) =>
    /^[0-9.]+$/.test(address) && !/^(?:127|169\.254)\./.test(address)
  )
    .sort((a, b) => rankOf(a) - rankOf(b));
  at.hostname = first;
  return at.origin;
}

// RFC 1918. 172.16.0.0/12 comes after the others, because the bridges of containers are there.
function rankOf(address: string): number {
  if (/^(?:10|192\.168)\./.test(address)) return 0;
  return /^172\.(?:1[6-9]|2[0-9]|3[01])\./.test(address) ? 2 : 1;
}
