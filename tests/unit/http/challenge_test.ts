import { parseChallenges, selectChallenge } from "../../../lib/http/challenge.ts";
import { assertEquals } from "../../support/assert.ts";

type Expected = [scheme: string, parameters: Record<string, string>][];

const CASES: [name: string, header: string | null, expected: Expected][] = [
  ["a missing header", null, []],
  ["an empty header", "", []],
  ["a scheme without parameters", "Basic", [["basic", {}]]],
  ["the challenge of Docker Hub", `Bearer realm="https://auth.docker.io/token",service="registry.docker.io"`, [
    ["bearer", { realm: "https://auth.docker.io/token", service: "registry.docker.io" }],
  ]],
  ["schemes and keys in any case", `BEARER Realm="https://a/t",SERVICE="s"`, [
    ["bearer", { realm: "https://a/t", service: "s" }],
  ]],
  ["a comma in quotes", `Bearer realm="https://a/t",scope="repository:a/b:pull,push"`, [
    ["bearer", { realm: "https://a/t", scope: "repository:a/b:pull,push" }],
  ]],
  ["escapes in quotes", String.raw`Basic realm="say \"hi\" \\ there"`, [["basic", { realm: `say "hi" \\ there` }]]],
  ["empty parameters", `Bearer realm="https://a/t",scope="",service=,error=""`, [
    ["bearer", { realm: "https://a/t", scope: "", service: "", error: "" }],
  ]],
  ["spaces around commas and signs", `Bearer   realm = "https://a/t" ,  service = s`, [
    ["bearer", { realm: "https://a/t", service: "s" }],
  ]],
  ["a value without quotes", `Bearer realm=https://a/t?x=1&y=2,service=s`, [
    ["bearer", { realm: "https://a/t?x=1&y=2", service: "s" }],
  ]],
  ["no comma between parameters", `Bearer realm="https://a/t" service="s"`, [
    ["bearer", { realm: "https://a/t", service: "s" }],
  ]],
  ["several challenges in one header", `Basic realm="x", Bearer realm="https://a/t",service="s", Digest qop="auth"`, [
    ["basic", { realm: "x" }],
    ["bearer", { realm: "https://a/t", service: "s" }],
    ["digest", { qop: "auth" }],
  ]],
  ["a scheme with a token", `Negotiate YIIabc/+==, Basic realm="x"`, [["negotiate", {}], ["basic", { realm: "x" }]]],
  ["leading and double commas", `, ,Basic realm="x",, Bearer realm="https://a/t"`, [
    ["basic", { realm: "x" }],
    ["bearer", { realm: "https://a/t" }],
  ]],
  ["a parameter given twice", `Bearer realm="https://a/t",realm="https://evil/t"`, [
    ["bearer", { realm: "https://a/t" }],
  ]],
  ["quotes that are not closed", `Bearer realm="https://a/t`, [["bearer", { realm: "https://a/t" }]]],
  ["a parameter before any scheme", `realm="x"`, []],
];

for (const [name, header, expected] of CASES) {
  Deno.test(`parseChallenges() parses ${name}`, () => {
    const found = parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
    assertEquals(found as Expected, expected);
  });
}

Deno.test("parseChallenges() parses several headers joined by Headers", () => {
  const headers = new Headers([["WWW-Authenticate", `Basic realm="x"`], [
    "WWW-Authenticate",
    `Bearer realm="https://a/t"`,
  ]]);
  assertEquals(parseChallenges(headers.get("www-authenticate")).map(({ scheme }) => scheme), ["basic", "bearer"]);
});

const BASE = new URL("https://registry.example.com:5000/v2/a/manifests/1");
const CHOICES: [name: string, header: string, scheme: string | undefined, realm?: string][] = [
  ["prefers Bearer", `Basic realm="x", Bearer realm="https://a/t"`, "bearer", "https://a/t"],
  ["selects Basic when Bearer has no realm", `Bearer service="s", Basic realm="x"`, "basic"],
  ["selects Basic when the realm of Bearer is a name", `Bearer realm="registry", Basic realm="x"`, "basic"],
  ["selects Basic when the realm of Bearer is a text", `Bearer realm="log in/out here", Basic realm="x"`, "basic"],
  ["selects Basic when the realm of Bearer has another scheme", `Bearer realm="file:///x", Basic realm="x"`, "basic"],
  [
    "selects the next Bearer when the first has no realm",
    `Bearer, Bearer realm="https://a/t"`,
    "bearer",
    "https://a/t",
  ],
  [
    "[72] resolves a realm that is a path against the registry",
    `Bearer realm="/service/token?a=b",service="s"`,
    "bearer",
    "https://registry.example.com:5000/service/token?a=b",
  ],
  [
    "[72] resolves a realm without a scheme",
    `Bearer realm="//auth.example.com/t"`,
    "bearer",
    "https://auth.example.com/t",
  ],
  ["accepts Basic without a realm", "Basic", "basic"],
  ["ignores other schemes", `Digest qop="auth", Negotiate`, undefined],
];

for (const [name, header, scheme, realm] of CHOICES) {
  Deno.test(`selectChallenge() ${name}`, () => {
    const chosen = selectChallenge(parseChallenges(header), BASE);
    assertEquals(chosen?.scheme, scheme);
    if (realm !== undefined) assertEquals(chosen?.parameters.get("realm"), realm);
  });
}
