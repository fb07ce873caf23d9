import { readProxyEnvironment } from "../../../../lib/cli/wiring/proxy_environment.ts";
import { assertEquals } from "../../../support/assert.ts";
import { createTestIo } from "../../../support/test_io.ts";

const PROXY = "http://user:secret@proxy.lan:3128";
const PLACE = "proxy.lan:3128";
const ROWS: [name: string, env: Record<string, string>, url: string, expected: string | undefined][] = [
  ["no variable", {}, "https://quay.io/v2/", undefined],
  ["the proxy of https, without its password", { HTTPS_PROXY: PROXY }, "https://quay.io/v2/", "proxy.lan:3128"],
  ["lower case", { https_proxy: PROXY }, "https://quay.io/v2/", "proxy.lan:3128"],
  ["no proxy of http for https", { HTTP_PROXY: PROXY }, "https://quay.io/v2/", undefined],
  ["the proxy of http", { HTTP_PROXY: PROXY }, "http://quay.io/v2/", "proxy.lan:3128"],
  ["the proxy of all schemes", { ALL_PROXY: "proxy.lan:3128" }, "https://quay.io/v2/", "proxy.lan:3128"],
  ["an excepted host", { HTTPS_PROXY: PROXY, NO_PROXY: "localhost, quay.io" }, "https://quay.io/v2/", undefined],
  ["an excepted domain", { HTTPS_PROXY: PROXY, NO_PROXY: ".corp.lan" }, "https://reg.corp.lan/", undefined],
  ["a domain's subdomain", { HTTPS_PROXY: PROXY, no_proxy: "corp.lan" }, "https://reg.corp.lan/", undefined],
  ["a name that ends alike", { HTTPS_PROXY: PROXY, NO_PROXY: "corp.lan" }, "https://mycorp.lan/", "proxy.lan:3128"],
  ["an excepted network", { HTTP_PROXY: PROXY, NO_PROXY: "10.0.0.0/8" }, "http://10.1.2.3:5000/", undefined],
  ["another network", { HTTP_PROXY: PROXY, NO_PROXY: "10.0.0.0/16" }, "http://10.1.2.3:5000/", "proxy.lan:3128"],
  // As the runtime does, found by experiments with it.
  [
    "the proxy of all schemes before others",
    { ALL_PROXY: PROXY, HTTP_PROXY: "b:1" },
    "http://a.lan/",
    "proxy.lan:3128",
  ],
  ["lower case if the other is not valid", { HTTP_PROXY: "ftp://x", http_proxy: PROXY }, "http://a/", "proxy.lan:3128"],
  ["no proxy of another kind", { HTTP_PROXY: "ftp://proxy.lan" }, "http://a.lan/", undefined],
  ["no proxy in an invalid URL", { HTTP_PROXY: "http://a b" }, "http://a.lan/", undefined],
  ["the default port", { HTTP_PROXY: "proxy.lan" }, "http://a.lan/", "proxy.lan:80"],
  ["an exception in upper case, which has no effect", { HTTP_PROXY: PROXY, NO_PROXY: "A.lan" }, "http://a.lan/", PLACE],
  ["a pattern, which has no effect", { HTTP_PROXY: PROXY, NO_PROXY: "*.lan" }, "http://a.lan/", PLACE],
  ["an exception with a port, which has no effect", { HTTP_PROXY: PROXY, NO_PROXY: "a:80" }, "http://a/", PLACE],
  ["an excepted address", { HTTP_PROXY: PROXY, NO_PROXY: "10.0.0.1" }, "http://10.0.0.1/", undefined],
  ["no domain in an address", { HTTP_PROXY: PROXY, NO_PROXY: "0.0.1" }, "http://10.0.0.1/", PLACE],
  ["an excepted network of IPv6", { HTTP_PROXY: PROXY, NO_PROXY: "fd00::/8" }, "http://[fd00::1]/", undefined],
  ["another network of IPv6", { HTTP_PROXY: PROXY, NO_PROXY: "fe00::/8" }, "http://[fd00::1]/", PLACE],
  ["every name excepted, but no address", { HTTP_PROXY: PROXY, NO_PROXY: "*" }, "http://10.0.0.1/", PLACE],
  ["everything excepted", { HTTPS_PROXY: PROXY, NO_PROXY: "*" }, "https://quay.io/", undefined],
];
for (const [name, env, url, expected] of ROWS) {
  Deno.test(`readProxyEnvironment() finds ${name}`, () => {
    assertEquals(readProxyEnvironment(createTestIo({ env })).proxyOf(new URL(url)), expected);
  });
}

Deno.test("readProxyEnvironment() tells which variables are used, and which exceptions have no effect", () => {
  const { proxies, uselessExceptions } = readProxyEnvironment(createTestIo({
    env: {
      http_proxy: PROXY,
      HTTPS_PROXY: "ftp://x",
      NO_PROXY: "localhost, .corp.lan, 10.0.0.0/8, fd00::/8, ::1, *, Corp.lan, *.lan, mirror.lan:5000, corp/8",
    },
  }));
  assertEquals(proxies, [
    { variable: "http_proxy", address: { hostname: "proxy.lan", port: 3128 } },
    { variable: "HTTPS_PROXY", address: undefined },
  ]);
  assertEquals(uselessExceptions, ["Corp.lan", "*.lan", "mirror.lan:5000", "corp/8"]);
});
