import {
  registrableDomain,
  whyCredentialWithheld,
  whyRealmRefused,
} from "../../../../lib/upstream/trust/credential_scope.ts";
import { assertEquals } from "../../../support/assert.ts";

const DOMAINS: [host: string, expected: string][] = [
  ["quay.io", "quay.io"],
  ["eu.gcr.io", "gcr.io"],
  ["registry-1.docker.io", "docker.io"],
  ["a.b.example.co.uk", "example.co.uk"],
  ["example.com.cn", "example.com.cn"],
  ["me.github.io", "me.github.io"],
  ["acme.jfrog.io:443", "acme.jfrog.io"],
  ["10.0.0.1:5000", "10.0.0.1"],
  ["localhost", "localhost"],
];
for (const [host, expected] of DOMAINS) {
  Deno.test(`registrableDomain() returns ${expected} for ${host}`, () =>
    assertEquals(registrableDomain(host), expected));
}

const SCOPES: [registry: string, target: string, credential: boolean, anonymous: boolean][] = [
  ["https://quay.io", "https://quay.io/v2/auth", true, true],
  ["https://registry-1.docker.io", "https://auth.docker.io/token", true, true],
  ["https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true, true],
  ["https://docker.elastic.co", "https://docker-auth.elastic.co/auth", true, true],
  ["https://lscr.io", "https://ghcr.io/token", true, true],
  [
    "https://registry.cn-hangzhou.aliyuncs.com",
    "https://dockerauth.cn-hangzhou.aliyuncs.com/auth",
    true,
    true,
  ],
  [
    "https://registry.cn-hangzhou.aliyuncs.com",
    "https://dockerauth.cn-beijing.aliyuncs.com/auth",
    false,
    true,
  ],
  ["https://QUAY.io", "https://quay.IO.:443/auth", true, true],
  ["https://registry.example.com:5000", "https://registry.example.com:5001/auth", true, true],
  ["https://quay.io", "http://quay.io/v2/auth", false, false],
  ["https://quay.io", "https://evil.example/auth", false, true],
  ["https://quay.io", "https://quay.io.evil.example/auth", false, true],
  ["https://quay.io", "https://evilquay.io/auth", false, true],
  ["https://alice.github.io", "https://mallory.github.io/auth", false, true],
  ["https://alice.azurecr.io", "https://mallory.azurecr.io/oauth2/token", false, true],
  ["https://a.co.uk", "https://b.co.uk/auth", false, true],
  ["https://quay.io", "https://user:pw@quay.io/auth", false, false],
  ["https://quay.io", "https://169.254.169.254/latest", false, false],
  ["https://quay.io", "https://localhost/auth", false, false],
  ["https://quay.io", "https://0x7f.1/auth", false, false],
  ["https://quay.io", "ftp://quay.io/auth", false, false],
  ["http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true, true],
  ["http://registry.lan:5000", "http://registry.lan:5001/token", true, true],
  ["http://registry.corp.lan", "http://auth.corp.lan/token", true, true],
  ["http://registry.lan", "http://auth.lan/token", false, true],
  ["http://10.0.0.1:5000", "http://10.0.0.2/token", false, true],
  ["http://registry", "http://auth/token", false, true],
  ["https://registry.lan", "http://registry.lan/token", false, false],
  ["http://registry.lan:5000", "https://auth.example.com/token", false, true],
];
for (const [registry, target, credential, anonymous] of SCOPES) {
  Deno.test(`[60] whyCredentialWithheld() ${credential ? "allows" : "forbids"} ${registry} to use ${target}`, () => {
    const [from, to] = [new URL(registry), new URL(target)];
    assertEquals(whyCredentialWithheld(from, to) === undefined, credential);
    assertEquals(whyRealmRefused(from, to) === undefined, anonymous);
  });
}
