import type { AddressCheck } from "../../../../lib/upstream/trust/address_check.ts";
import { whyAddressRefused } from "../../../../lib/upstream/trust/address_rule.ts";
import {
  registrableDomain,
  whyCredentialWithheld,
  whyRealmRefused,
} from "../../../../lib/upstream/trust/credential_scope.ts";
import { classifyHost } from "../../../../lib/upstream/trust/private_address.ts";
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

const CHECK: AddressCheck = (url) => Promise.resolve({ class: classifyHost(url.hostname), isResolved: true });

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
  ["https://registry-vpc.cn-hangzhou.aliyuncs.com", "https://dockerauth-vpc.cn-hangzhou.aliyuncs.com/auth", true, true],
  [
    "https://acme-registry.cn-shanghai.cr.aliyuncs.com",
    "https://dockerauth-ee.cn-shanghai.aliyuncs.com/auth",
    true,
    true,
  ],
  [
    "https://acme-registry.cn-shanghai.cr.aliyuncs.com",
    "https://dockerauth-ee.cn-beijing.aliyuncs.com/auth",
    false,
    true,
  ],
  [
    "https://crpi-x1.cn-hangzhou.personal.cr.aliyuncs.com",
    "https://dockerauth.cn-hangzhou.aliyuncs.com/auth",
    true,
    true,
  ],
  ["https://nvcr.io", "https://authn.nvidia.com/token", true, true],
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
  ["http://registry.lan", "http://127.0.0.1/token", false, false],
  ["http://registry.lan", "http://169.254.169.254/token", false, false],
  ["http://127.0.0.1:5000", "http://169.254.169.254/token", false, false],
  ["http://registry", "http://auth/token", false, true],
  ["https://registry.lan", "http://registry.lan/token", false, false],
  ["http://registry.lan:5000", "https://auth.example.com/token", false, true],
];
for (const [registry, target, credential, anonymous] of SCOPES) {
  Deno.test(`[60] whyCredentialWithheld() ${credential ? "allows" : "forbids"} ${registry} to use ${target}`, async () => {
    const [from, to] = [new URL(registry), new URL(target)];
    assertEquals(whyCredentialWithheld(from, to) === undefined, credential);
    const refused = whyRealmRefused(from, to) ?? await whyAddressRefused(from, to, CHECK);
    assertEquals(refused === undefined, anonymous);
  });
}

for (
  const [hosts, target, isAllowed] of [
    [["auth.vendor.example"], "https://auth.vendor.example/token", true],
    [["AUTH.vendor.example:8443"], "https://auth.vendor.example:8443/token", true],
    [["auth.vendor.example:8443"], "https://auth.vendor.example/token", false],
    [["vendor.example"], "https://auth.vendor.example/token", false],
    [["auth.vendor.example"], "http://auth.vendor.example/token", false],
    [[], "https://auth.vendor.example/token", false],
  ] as const
) {
  Deno.test(`[72] whyCredentialWithheld() ${isAllowed ? "allows" : "forbids"} ${target} with token-hosts ${hosts}`, () => {
    assertEquals(
      whyCredentialWithheld(new URL("https://cr.example.com"), new URL(target), hosts) === undefined,
      isAllowed,
    );
  });
}
