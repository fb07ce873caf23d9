import { cannot, RegistryError } from "../oci/error.ts";

/**
 * Refuses a request for a host that is not this machine. DNS rebinding: a web page makes its own name mean the agent's
 * address, and the browser then sends requests for that name with the origin of the page.
 *
 * @throws {RegistryError} `DENIED`
 */
export function checkHost(headers: Headers, url: URL, isOwnHost: (hostname: string) => boolean): void {
  const host = headers.get("host");
  const named = [url.hostname, ...(host === null ? [] : [URL.parse(`http://${host}`)?.hostname ?? host])];
  const foreign = named.find((hostname) => !isOwnHost(hostname));
  if (foreign === undefined) return;
  throw new RegistryError(
    "DENIED",
    cannot(
      "answer",
      `${JSON.stringify(foreign)} is not a name or an address of this agent`,
      "start it with --host-name to allow it",
    ),
  );
}

/**
 * Refuses a request from a web page of another origin, in the browser of a user on the agent's network. Such a page must
 * not even read the list of installed packages. Programs other than browsers send no Origin. The own page may be one of
 * https although the request is plain: a reverse proxy before this server has the certificate.
 *
 * @throws {RegistryError} `DENIED`
 */
export function checkOrigin(headers: Headers, url: URL): void {
  const origin = headers.get("origin");
  if (origin === null || origin === url.origin) return;
  if (url.protocol === "http:" && origin === new URL(`https://${url.host}`).origin) return;
  throw new RegistryError("DENIED", cannot("answer", "the request is from a web page of another origin"));
}
