import { RegistryError } from "../oci/error.ts";
import { TransportError, type TransportFailure } from "../upstream/transport/transport_error.ts";
import { DeniedError } from "../upstream/trust/denied_error.ts";

const OFFLINE = "; --offline avoids the network";
const REACH = `check that the registry runs, and that this machine reaches it${OFFLINE}`;
const CERTIFICATE = "name its CA with ca-file in the configuration, or write http:// if it has no TLS";

const ADVICE: Readonly<Partial<Record<TransportFailure, string>>> = {
  authority: CERTIFICATE,
  certificate: CERTIFICATE,
  clock: "set this machine's clock first",
  closed: "wait, or change --window or --budget",
  cut: REACH,
  dns: `check the name, and this machine's network and name server${OFFLINE}`,
  "not-tls": CERTIFICATE,
  refused: REACH,
  stall: REACH,
  timeout: REACH,
  unreachable: REACH,
};

/** Returns advice on the error of a request to an upstream. */
export function adviseOn(error: unknown): string {
  if (error instanceof DeniedError) {
    return error.isLoginRefused
      ? "correct the user name and the password in the configuration, or in docker's or podman's own file"
      : "check the name; log in to the registry, in the configuration or with docker login";
  }
  if (error instanceof RegistryError && error.code === "TOOMANYREQUESTS") {
    return "wait, or log in; content in the store is served meanwhile";
  }
  const failure = failureOf(error);
  return (failure && ADVICE[failure]) ?? "check its address (--upstream HOST=URL)";
}

function failureOf(error: unknown): TransportFailure | undefined {
  if (error instanceof TransportError) return error.failure;
  return error instanceof Error ? failureOf(error.cause) : undefined;
}
