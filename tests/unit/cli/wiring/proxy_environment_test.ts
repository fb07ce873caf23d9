import { createProxyFinder } from "../../../../lib/cli/wiring/proxy_environment.ts";
import { assertEquals } from "../../../support/assert.ts";
import { createTestIo } from "../../../support/test_io.ts";

const PROXY = "http://user:secret@proxy.lan:3128";
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
  ["everything excepted", { HTTPS_PROXY: PROXY, NO_PROXY: "*" }, "https://quay.io/", undefined],
];
for (const [name, env, url, expected] of ROWS) {
  Deno.test(`createProxyFinder() finds ${name}`, () => {
    assertEquals(createProxyFinder(createTestIo({ env }))(new URL(url)), expected);
  });
}
