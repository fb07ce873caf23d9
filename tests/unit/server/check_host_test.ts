import { isAuthority, refuseBadHost } from "../../../lib/server/check_host.ts";
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
  ["no host", "http://localhost:6060/v2/", null, undefined],
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
      assertStringIncludes(error.message, "must be a host");
    }
  });
}
