import { RegistryError } from "../../../lib/oci/error.ts";
import { createLoginCheck } from "../../../lib/server/require_login.ts";
import { assertEquals } from "../../support/assert.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const login = (text: string) => ({ authorization: `Basic ${btoa(text)}` });
const RIGHT = login("ann:secret");

/** Checks a request. @returns the status of the refusal, else `open`, or `challenge` if the login is asked for */
async function check(
  path: string,
  { headers = {}, privateHosts = [], method = "GET" }: {
    readonly headers?: Record<string, string>;
    readonly privateHosts?: string[];
    readonly method?: string;
  } = {},
): Promise<number | "open" | "challenge"> {
  const verdict = await createLoginCheck({
    check: ({ user, password }) => {
      if (user === "busy") return Promise.reject(new RegistryError("UNAVAILABLE", "too many"));
      return Promise.resolve(user === "ann" && password === "secret");
    },
    privateHosts,
  })(new Request(`http://crpe${path}`, { headers, method }));
  if (!("refusal" in verdict)) return "www-authenticate" in verdict.headers ? "challenge" : "open";
  const { status, headers: sent } = verdict.refusal;
  if (status === 401) assertEquals(sent.get("www-authenticate"), 'Basic realm="crpe", charset="UTF-8"');
  assertEquals(Number(sent.get("content-length")) > 0, true);
  const text = await verdict.refusal.text();
  if (method === "HEAD") assertEquals(text, "");
  else assertEquals(JSON.parse(text).errors[0].code, status === 401 ? "UNAUTHORIZED" : "UNAVAILABLE");
  return status;
}

const paths = [
  "/v2/",
  "/v2",
  "/v2/_catalog",
  "/v2/app/manifests/1.0",
  `/v2/app/blobs/${DIGEST}`,
  "/v2/quay.io/app/tags/list",
  `/v2/app/referrers/${DIGEST}?ns=quay.io`,
  "/mirrors/quay.io/v2/",
  "/mirrors/quay.io/v2/app/manifests/1.0",
  "/%76%32/app/manifests/1.0",
  "/v2/app/manifests/1.0?x=%",
  "/%762/app/manifests/1.0?x=%E0%A4%A",
  "/v2/NOT A NAME/manifests/1.0",
  "/mirrors/quay.io/%762/app/manifests/1.0",
];
for (const path of paths) {
  for (const method of ["GET", "HEAD"]) {
    Deno.test(`createLoginCheck() lets nothing of ${method} ${path} through without a login`, async () => {
      assertEquals(await check(path, { method }), 401);
      assertEquals(await check(path, { method, headers: login("ann:wrong") }), 401);
      assertEquals(await check(path, { method, headers: login(":") }), 401);
      assertEquals(await check(path, { method, headers: RIGHT }), "open");
    });
  }
}

for (const path of ["/healthz", "/metrics", "/kubepkgs", "/", "/v20/x", "/favicon.ico"]) {
  Deno.test(`createLoginCheck() asks for no login for ${path}, which is not part of the registry`, async () => {
    assertEquals(await check(path), "open");
  });
}

const malformed = [
  "Bearer x",
  "Basic",
  "Basic !",
  `Basic ${btoa("no colon")}`,
  "Basic gIA6",
  `Basic ${"A".repeat(5000)}`,
];
for (const authorization of malformed) {
  Deno.test(`createLoginCheck() refuses the header ${authorization.slice(0, 30)}`, async () => {
    assertEquals(await check("/v2/", { headers: { authorization } }), 401);
  });
}

Deno.test("createLoginCheck() reads a password with colons and characters beyond ASCII as UTF-8", async () => {
  const seen: string[] = [];
  const verify = createLoginCheck({
    check: ({ user, password }) => Promise.resolve(seen.push(`${user}|${password}`) > 0),
    privateHosts: [],
  });
  const bytes = new TextEncoder().encode("änn:a:b:ß");
  const authorization = `basic ${btoa(String.fromCharCode(...bytes))}`;
  await verify(new Request("http://crpe/v2/", { headers: { authorization } }));
  assertEquals(seen, ["änn|a:b:ß"]);
});

Deno.test("createLoginCheck() answers 503 when too many logins wait to be checked", async () => {
  assertEquals(await check("/v2/", { headers: login("busy:x") }), 503);
});

const some: [string, number | "open" | "challenge"][] = [
  ["/v2/reg.test/app/manifests/1.0", 401],
  [`/v2/reg.test/app/blobs/${DIGEST}`, 401],
  ["/v2/REG.test:443/app/manifests/1.0", 401],
  ["/v2/reg.test__443/app/manifests/1.0", 401],
  ["/v2/reg.test:0443/app/manifests/1.0", 401],
  ["/v2/reg.test:00443/app/manifests/1.0", 401],
  ["/v2/reg.test__0443/app/manifests/1.0", 401],
  ["/v2/app/manifests/1.0?ns=reg.test:0443", 401],
  ["/v2/?ns=reg.test:0443", 401],
  ["/mirrors/reg.test:0443/v2/app/manifests/1.0", 401],
  ["/mirrors/reg.test:080/v2/", 401],
  ["/v2/198.51.100.5:5000/app/manifests/1.0", 401],
  ["/v2/198.51.25605:05000/app/manifests/1.0", 401],
  ["/v2/3325256709:5000/app/manifests/1.0", 401],
  ["/v2/app/manifests/1.0?ns=0xc6.063.0x6405:5000", 401],
  ["/v2/[2001:db8::1]:5000/app/manifests/1.0", 401],
  ["/v2/[2001:DB8:0:0:0:0:0:1]:5000/app/manifests/1.0", 401],
  ["/v2/app/manifests/1.0?ns=short", 401],
  ["/v2/app/manifests/1.0?ns=short:443", 401],
  ["/v2/short:0443/app/manifests/1.0", 401],
  ["/v2/short:5000/app/manifests/1.0", "open"],
  ["/v2/reg.test:4430/app/manifests/1.0", "open"],
  ["/v2/app/manifests/1.0?ns=reg.test", 401],
  ["/v2/app/manifests/1.0?ns=reg.test:443", 401],
  ["/v2/quay.io/app/manifests/1.0?ns=reg.test", 401],
  ["/mirrors/reg.test/v2/app/tags/list", 401],
  ["/mirrors/quay.io/v2/app/tags/list?ns=reg.test", 401],
  ["/mirrors/reg.test/v2/", 401],
  ["/v2/?ns=reg.test", 401],
  ["/v2/_catalog", 401],
  ["/v2/index.docker.io/team/app/manifests/1.0", 401],
  ["/v2/team/app/manifests/1.0", 401],
  ["/v2/quay.io/app/manifests/1.0", "open"],
  ["/v2/reg.test.example/app/manifests/1.0", "open"],
  ["/v2/team/app/manifests/1.0?ns=quay.io", "open"],
  ["/mirrors/quay.io/v2/", "open"],
  ["/v2/", "challenge"],
  ["/healthz", "open"],
];
for (const [path, expected] of some) {
  Deno.test(`[90] createLoginCheck() with private hosts answers ${path} with ${expected}`, async () => {
    const privateHosts = ["reg.test:443", "docker.io", "198.51.100.5:5000", "[2001:db8::1]:5000", "short"];
    assertEquals(await check(path, { privateHosts }), expected);
    assertEquals(await check(path, { privateHosts, headers: login(":") }), expected);
    assertEquals(await check(path, { privateHosts, headers: RIGHT }), "open");
    if (path !== "/healthz") assertEquals(await check(path, { privateHosts, headers: login("ann:wrong") }), 401);
  });
}
