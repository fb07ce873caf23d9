import { redactError, textOf } from "./redact.ts";
import { CrpeError, type Failure } from "../../oci/error.ts";

/** The reason why no response, or only a part of it, was received. */
export type TransportFailure =
  | "authority"
  | "blocked"
  | "certificate"
  | "clock"
  | "closed"
  | "cut"
  | "dns"
  | "not-http"
  | "not-tls"
  | "other"
  | "refused"
  | "stall"
  | "timeout"
  | "unreachable";

const PERMANENT: readonly TransportFailure[] = ["authority", "blocked", "certificate", "clock", "not-http", "not-tls"];

/** A request without a complete response. A catcher adds the action. */
export class TransportError extends CrpeError {
  readonly failure: TransportFailure;

  /** @param options its advice is for an upstream */
  constructor(
    failure: TransportFailure,
    reason: string,
    { advice, ...options }: ErrorOptions & Pick<Failure, "advice"> = {},
  ) {
    super({ reason, advice }, options);
    this.failure = failure;
  }

  /** Whether the same request would fail in the same way. */
  get isPermanent(): boolean {
    return PERMANENT.includes(this.failure);
  }
}

/** A request that is not sent, or a transfer that stops, because the link must not be used now. */
export class LinkClosedError extends TransportError {
  /** When the link opens again, in milliseconds since 1970. */
  readonly until: number;
  /** The time until then, in seconds, for `Retry-After`. */
  readonly retryAfter: number;

  /** @param times in milliseconds since 1970 */
  constructor(message: string, { until, now }: { readonly until: number; readonly now: number }) {
    super("closed", message);
    this.until = until;
    this.retryAfter = Math.max(1, Math.ceil((until - now) / 1000));
  }
}

// The runtime distinguishes these failures only by the texts of hyper, rustls and the operating system.
const REASONS: readonly (readonly [RegExp, TransportFailure, reason: string, advice?: string])[] = [
  [
    /NotValidYet|not valid yet/i,
    "clock",
    "its certificate is not yet valid",
    "the clock of this machine may be wrong",
  ],
  [
    /CertExpired|certificate (?:has )?expired|\bExpired\b/i,
    "clock",
    "its certificate has expired, or the clock of this machine is wrong",
  ],
  [
    /not valid for name|NotValidForName/i,
    "certificate",
    "its certificate is for another name, or does not list this one as subjectAltName",
  ],
  [
    /CaUsedAsEndEntity/i,
    "certificate",
    "its certificate is a CA certificate (CA:TRUE), which must not be used by a server",
    "issue a separate certificate for the server with basicConstraints=CA:FALSE, such as by: openssl req -x509 -newkey rsa:2048 -nodes -days 825 -keyout key.pem -out cert.pem -subj /CN=NAME -addext subjectAltName=DNS:NAME -addext basicConstraints=critical,CA:FALSE; then name it with --ca-file HOST=FILE",
  ],
  [
    /UnknownIssuer|self.signed|unknown (?:issuer|authority)/i,
    "authority",
    "its certificate is not known to be trusted (self-signed, or issued by an unknown authority)",
    "name its CA file with --ca-file HOST=FILE or in the configuration",
  ],
  [/invalid peer certificate|certificate/i, "certificate", "its certificate cannot be trusted"],
  [
    /received corrupt message|InvalidContentType|wrong version number/i,
    "not-tls",
    "it does not speak TLS on this port",
    "if it speaks plain HTTP, write http:// in its URL",
  ],
  [/tls|handshake/i, "not-tls", "the TLS handshake failed"],
  [
    /dns error|failed to lookup|name or service not known|name resolution|nodename nor servname|no such host/i,
    "dns",
    "its name was not found in the DNS",
  ],
  [/maximum number of redirects/i, "other", "it redirects in a circle, or too often"],
  [/redirect to a non http/i, "other", "it redirects to an address that is not http or https"],
  [/unsuccessful tunnel/i, "refused", "the proxy does not connect to it"],
  [
    /proxy auth/i,
    "blocked",
    "the proxy requires a login",
    "write http://USER:PASSWORD@HOST:PORT into its variable (HTTPS_PROXY, HTTP_PROXY)",
  ],
  [/connection refused/i, "refused", "the connection was refused"],
  [
    /no route to host|network is unreachable|host is unreachable|network is down|cannot assign requested address/i,
    "unreachable",
    "there is no network route to it",
  ],
  [/timed? ?out/i, "timeout", "it did not answer in time"],
  [/requires net access/i, "blocked", "it is a metadata service or another address that crpe must not contact"],
  [/port \d+ are blocked|bad port/i, "blocked", "its port must not be used for HTTP"],
  [/invalid HTTP version|invalid header|parsed|message head is too large/i, "not-http", "it does not speak HTTP"],
  [
    /connection closed|connection reset|broken pipe|reset by peer|unexpected.?eof|close_notify|reading a body|body from connection|error decoding/i,
    "cut",
    "the connection was cut",
  ],
];

/** Converts the error of a failed request. Neither the message nor the cause contains a URL query or a credential. */
export function toTransportError(error: unknown): TransportError {
  if (error instanceof TransportError) return error;
  const text = textOf(error);
  const [, failure = "other", reason = "the connection failed", advice] =
    REASONS.find(([pattern]) => pattern.test(text)) ?? [];
  return new TransportError(failure, reason, { advice, cause: redactError(error) });
}
