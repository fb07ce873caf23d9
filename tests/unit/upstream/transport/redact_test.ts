import { redactError, redactLogins, redactText } from "../../../../lib/upstream/transport/redact.ts";
import { toTransportError, type TransportFailure } from "../../../../lib/upstream/transport/transport_error.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

const CASES: [name: string, text: string, expected: string][] = [
  ["the query of a URL", "for url (https://cdn.net/b/x?X-Sig=abc&t=1): no", "for url (https://cdn.net/b/x): no"],
  ["user information", "at http://me:pw@host:5000/x!", "at http://host:5000/x!"],
  ["a password with an @", "at http://me:p@w@host:5000/x@sha256:0a", "at http://host:5000/x@sha256:0a"],
  ["a fragment", "https://a/b#token=1 end", "https://a/b end"],
  ["the value of an Authorization", "sent Bearer eyJhbGciOi.J9 and Basic YWxpY2U6cHc=", "sent Bearer … and Basic …"],
  ["line breaks and control characters", "a\r\nb\x1b[31mc", "a b [31mc"],
  ["nothing from a plain text", "connection refused (os error 111)", "connection refused (os error 111)"],
];
for (const [name, text, expected] of CASES) {
  Deno.test(`[61] redactText() removes ${name}`, () => assertEquals(redactText(text), expected));
}

const LOGINS: [name: string, text: string, expected: string][] = [
  ["a login", "use http://me:pw@host/x?y: no", "use http://…@host/x?y: no"],
  ["a login of another kind of URL, in capitals", "ftp://me:p@w@h/x and HTTPS://t@h", "ftp://…@h/x and HTTPS://…@h"],
  [
    "no digest of an image",
    "oci://host/app@sha256:0a and host/app@sha256:0a",
    "oci://host/app@sha256:0a and host/app@sha256:0a",
  ],
  ["no words of an advice", "write http://USER:PASSWORD@HOST:PORT", "write http://USER:PASSWORD@HOST:PORT"],
];
for (const [name, text, expected] of LOGINS) {
  Deno.test(`[61] redactLogins() removes ${name}`, () => assertEquals(redactLogins(text), expected));
}

Deno.test("[61] redactError() keeps the messages of a chain of causes, without secrets", () => {
  const inner = new Error("error sending request for url (https://cdn.net/x?sig=SECRET): connection refused");
  const error = redactError(new TypeError("fetch failed", { cause: inner }));
  assert(!Deno.inspect(error).includes("SECRET"));
  assertEquals(error.message, "fetch failed: error sending request for url (https://cdn.net/x): connection refused");
  assertEquals(error.cause, undefined);
});

// Error messages of different releases of Deno.
const prefix = "error sending request for url (https://registry.example.com/v2/): client error (Connect): ";
const FAILURES: [text: string, failure: TransportFailure, words: string][] = [
  [
    `${prefix}dns error: failed to lookup address information: Name or service not known`,
    "dns",
    "not found in the DNS",
  ],
  [`${prefix}dns error: failed to lookup address information: Temporary failure in name resolution`, "dns", "DNS"],
  [`${prefix}tcp connect error: Connection refused (os error 111)`, "refused", "refused"],
  [`${prefix}tcp connect error: No route to host (os error 113)`, "unreachable", "no network"],
  ["Fetch failed: Maximum number of redirects (20) reached", "other", "it redirects in a circle"],
  ["Fetch failed: Can not redirect to a non HTTP(s) url", "other", "not http or https"],
  [`${prefix}unsuccessful tunnel`, "refused", "the proxy does not connect to it"],
  [`${prefix}proxy authentication required`, "blocked", "the proxy requires a login"],
  [`${prefix}tcp connect error: Network is unreachable (os error 101)`, "unreachable", "no network"],
  [`${prefix}tcp connect error: Connection timed out (os error 110)`, "timeout", "in time"],
  [`${prefix}invalid peer certificate: UnknownIssuer`, "authority", "self-signed"],
  [`${prefix}invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))`, "certificate", "CA:TRUE"],
  [
    `${prefix}invalid peer certificate: certificate not valid yet: verification time 100 (UNIX), but certificate is not valid before 200`,
    "clock",
    "clock",
  ],
  [`${prefix}invalid peer certificate: NotValidYet`, "clock", "not yet valid"],
  [`${prefix}invalid peer certificate: Expired`, "clock", "expired"],
  [`${prefix}invalid peer certificate: certificate expired: verification time 200 (UNIX)`, "clock", "expired"],
  [`${prefix}invalid peer certificate: certificate not valid for name "a.b"`, "certificate", "another name"],
  [`${prefix}received corrupt message of type InvalidContentType`, "not-tls", "does not speak TLS"],
  ["client error (SendRequest): connection closed before message completed", "cut", "cut"],
  ["client error (SendRequest): invalid HTTP version parsed", "not-http", "does not speak HTTP"],
  ["error reading a body from connection", "cut", "cut"],
  ["Fetch failed: Requests to port 1 are blocked", "blocked", "port"],
  ["something new", "other", "failed"],
];
for (const [text, failure, words] of FAILURES) {
  Deno.test(`toTransportError() recognizes ${failure} in ${text.replace(prefix, "…").slice(0, 70)}`, () => {
    for (const error of [new TypeError(text), new TypeError("fetch failed", { cause: new Error(text) })]) {
      const found = toTransportError(error);
      assertEquals(found.failure, failure);
      assert(found.message.includes(words), found.message);
    }
  });
}
