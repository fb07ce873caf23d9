import { findForeignHost, isAuthority, refuseBadHost, refuseForeignHost } from "../../../lib/server/check_host.ts";
import { assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { BAD_HOSTS, GOOD_HOSTS } from "../../fuzz/hostile_hosts.ts";

for (const host of GOOD_HOSTS) {
  Deno.test(`isAuthority() accepts ${host}`, () => assertEquals(isAuthority(host), true));
}

for (const host of BAD_HOSTS) {
  Deno.test(`isAuthority() rejects ${JSON.stringify(host.slice(0, 40))}`, () => assertEquals(isAuthority(host), false));
}

// The tests do not use new Request(), because it would normalize the URL, and the server does not.
const requests: [string, string, string | null, number | undefined][] = [
  ["a host", "http://crpe:6060/v2/", "crpe:6060", undefined],
  ["no host", "http://localhost:6060/v2/", null, 400],
  ["a health check without a host", "http://localhost:6060/healthz", null, undefined],
  ["an absolute target of another host", "http://quay.io/v2/", "crpe", undefined],
  ["a target without a path", "http://quay.io:443", "crpe", undefined],
  ["a host with a path", "http://a/v2/_catalog?/v2/", "a/v2/_catalog?", 400],
  ["an empty host", "http://localhost:6060/v2/", "", 400],
  ["an absolute target with a user name", "https://u:p@a/v2/", "crpe", 400],
  ["an invalid Host header with an absolute target", "http://quay.io/v2/", "a b", 400],
];
for (const [what, url, host, status] of requests) {
  Deno.test(`refuseBadHost() ${status === undefined ? "accepts" : "rejects"} ${what}`, async () => {
    const headers = new Headers(host === null ? [] : [["host", host]]);
    const answer = refuseBadHost({ method: "GET", url, headers } as Request);
    assertEquals(answer?.status, status);
    if (answer !== undefined) {
      const { errors: [error] } = await answer.json();
      assertEquals(error.code, "BAD_REQUEST");
      assertStringIncludes(error.message, host === null ? "the Host header is missing" : "must be a host");
    }
  });
}

Deno.test("refuseBadHost() rejects Content-Length beside Transfer-Encoding", () => {
  const headers = new Headers({ host: "a", "content-length": "5", "transfer-encoding": "chunked" });
  assertEquals(refuseBadHost({ method: "PUT", url: "http://a/kubepkgs", headers } as Request)?.status, 400);
});

const BROWSER = { "accept-language": "en" };
const foreign: [
  what: string,
  host: string,
  local: string,
  headers: Record<string, string>,
  isForeign: boolean,
][] = [
  ["a public name on the loopback interface", "evil.example:6060", "127.0.0.1", {}, true],
  ["a public name with a final dot", "evil.example.", "::1", {}, true],
  ["a public name that a proxy forwarded", "registry.example", "127.0.0.1", { "x-forwarded-for": "10.0.0.9" }, false],
  ["a public name that a browser asked a proxy for", "evil.example", "127.0.0.1", { ...BROWSER, via: "1.1 a" }, true],
  ["a public name on another interface", "registry.example", "10.0.0.1", {}, false],
  ["a browser with a public name", "evil.example", "10.0.0.1", BROWSER, true],
  ["a browser with a name of this machine", "own.example", "10.0.0.1", BROWSER, false],
  ["a browser with an address", "10.0.0.1:6060", "10.0.0.1", BROWSER, false],
  ["a browser with an IPv6 address", "[fd00::1]", "fd00::1", BROWSER, false],
  ["a short name", "registry:6060", "127.0.0.1", BROWSER, false],
  ["a name that the public DNS does not have", "host.docker.internal", "127.0.0.1", {}, false],
];
for (const [what, host, localAddress, headers, isForeign] of foreign) {
  Deno.test(`findForeignHost() ${isForeign ? "finds" : "passes"} ${what}`, async () => {
    const request = { method: "GET", url: `http://${host}/v2/`, headers: new Headers({ host, ...headers }) } as Request;
    const found = findForeignHost(request, { localAddress, isOwnHost: (name) => name === "own.example" });
    assertEquals(found !== undefined, isForeign);
    if (found === undefined) return;
    const answer = refuseForeignHost(request, found);
    assertEquals([answer.status, (await answer.json()).errors[0].code], [403, "DENIED"]);
  });
}

Deno.test("findForeignHost() checks the host of an absolute target as well", () => {
  const request = { url: "http://evil.example/v2/", headers: new Headers({ host: "127.0.0.1" }) } as Request;
  assertEquals(findForeignHost(request, { localAddress: "127.0.0.1", isOwnHost: () => false }), "evil.example");
});
