import { checkProxies, type ProxyOptions } from "../../../lib/doctor/check_proxies.ts";
import type { Finding } from "../../../lib/doctor/finding.ts";
import { assertEquals } from "../../support/assert.ts";

const address = { hostname: "proxy.lan", port: 3128 };
const refused = () => Promise.reject(new Error("Connection refused (os error 111)"));
const ROWS: [name: string, options: Partial<ProxyOptions>, expected: Partial<Finding>[]][] = [
  ["nothing without a proxy", { uselessExceptions: ["A"] }, []],
  ["a proxy that two variables name, once", {
    proxies: [{ variable: "HTTP_PROXY", address }, { variable: "https_proxy", address }],
  }, [{ step: "proxy of HTTP_PROXY, https_proxy", status: "ok", message: "proxy.lan:3128 accepts connections" }]],
  ["a proxy that does not answer", { proxies: [{ variable: "ALL_PROXY", address }], connect: refused }, [{
    step: "proxy of ALL_PROXY",
    status: "broken",
    message: "proxy.lan:3128: the connection was refused",
    advice: "correct the variable, or name the registries that need no proxy in NO_PROXY",
  }]],
  ["a value that is ignored", { proxies: [{ variable: "HTTP_PROXY", address: undefined }] }, [{
    step: "proxy of HTTP_PROXY",
    status: "broken",
    message: "it is not the URL of a proxy, and is ignored",
    advice: "write http://HOST:PORT",
  }]],
  ["exceptions without effect", { proxies: [{ variable: "HTTP_PROXY", address }], uselessExceptions: ["A.lan"] }, [
    { step: "proxy of HTTP_PROXY", status: "ok", message: "proxy.lan:3128 accepts connections" },
    {
      step: "NO_PROXY",
      status: "warning",
      message: "these entries have no effect: A.lan",
      advice: "write names in lower case, without a port, and domains as .corp.lan",
    },
  ]],
];
for (const [name, options, expected] of ROWS) {
  Deno.test(`checkProxies() reports ${name}`, async () => {
    const connect = () => Promise.resolve();
    assertEquals(
      await checkProxies({ proxies: [], uselessExceptions: [], connect, ...options }),
      expected as Finding[],
    );
  });
}
