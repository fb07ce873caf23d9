import { CorruptError } from "../../../../lib/oci/error.ts";
import { type Credential, parseDockerConfig } from "../../../../lib/upstream/trust/docker_config.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { withoutUndefined } from "../../../support/without_undefined.ts";

function parse(json: unknown) {
  return parseDockerConfig(new TextEncoder().encode(JSON.stringify(json)));
}

const ALICE = { auth: btoa("alice:secret") };
const EXPECTED_ALICE = { username: "alice", password: "secret" };

const CASES: [name: string, auths: Record<string, unknown>, host: string, path: string, expected?: Credential][] = [
  ["a host", { "quay.io": ALICE }, "quay.io", "team/app", EXPECTED_ALICE],
  [
    "docker.io by its old URL",
    { "https://index.docker.io/v1/": ALICE },
    "docker.io",
    "library/nginx",
    EXPECTED_ALICE,
  ],
  ["docker.io by its name", { "docker.io": ALICE }, "registry-1.docker.io", "", EXPECTED_ALICE],
  ["a host with a port", { "registry.lan:5000": ALICE }, "registry.lan:5000", "app", EXPECTED_ALICE],
  ["nothing for another port", { "registry.lan:5000": ALICE }, "registry.lan", "app", undefined],
  ["a URL with a scheme", { "https://registry.lan": ALICE }, "registry.lan", "app", EXPECTED_ALICE],
  ["a URL with /v2/", { "http://registry.lan/v2/": ALICE }, "registry.lan", "app", EXPECTED_ALICE],
  ["an upper-case host", { "Quay.IO": ALICE }, "quay.io", "app", EXPECTED_ALICE],
  [
    "the longest matching path",
    {
      "quay.io": { auth: btoa("host:1") },
      "quay.io/team": { auth: btoa("team:2") },
      "quay.io/team/app": { auth: btoa("app:3") },
    },
    "quay.io",
    "team/other",
    { username: "team", password: "2" },
  ],
  ["nothing for a path with a common prefix only", { "quay.io/team": ALICE }, "quay.io", "teammate/app", undefined],
  ["a password with colons", { "quay.io": { auth: btoa("alice:a:b:c") } }, "quay.io", "", {
    username: "alice",
    password: "a:b:c",
  }],
  ["a padded password", { "quay.io": { auth: btoa("alice:secret\0\0") } }, "quay.io", "", EXPECTED_ALICE],
  ["UTF-8", { "quay.io": { auth: "YWxpY2U6cMOkc3M=" } }, "quay.io", "", { username: "alice", password: "päss" }],
  ["unencoded fields", { "quay.io": { username: "alice", password: "secret" } }, "quay.io", "", EXPECTED_ALICE],
  ["an identity token", { "x.azurecr.io": { auth: btoa("00000000:"), identitytoken: "idt" } }, "x.azurecr.io", "", {
    username: "00000000",
    identityToken: "idt",
  }],
  ["an identity token as a password", { "quay.io": { username: "<token>", password: "idt" } }, "quay.io", "", {
    identityToken: "idt",
  }],
  ["a registry token", { "quay.io": { registrytoken: "rt" } }, "quay.io", "", { registryToken: "rt" }],
  ["nothing in the empty entry of a credential helper", { "quay.io": {} }, "quay.io", "", undefined],
  ["nothing in invalid base64", { "quay.io": { auth: "%%%" } }, "quay.io", "", undefined],
  ["nothing in an auth without a colon", { "quay.io": { auth: btoa("alice") } }, "quay.io", "", undefined],
  ["nothing in an entry that is not an object", { "quay.io": 5 }, "quay.io", "", undefined],
];

for (const [name, auths, host, path, expected] of CASES) {
  Deno.test(`parseDockerConfig() finds ${name}`, () => {
    assertEquals(withoutUndefined(parse({ auths }).find(host, path)?.credential), expected);
  });
}

Deno.test("parseDockerConfig() returns the same credential object each time", () => {
  const config = parse({ auths: { "quay.io": ALICE } });
  assertEquals(config.find("quay.io", "a")?.credential === config.find("quay.io", "b")?.credential, true);
});

Deno.test("parseDockerConfig() lists the credential helpers without running them", () => {
  const config = parse({ credsStore: "desktop", credHelpers: { "gcr.io": "gcloud", "eu.gcr.io": "gcloud" } });
  assertEquals(config.helpers, ["desktop", "gcloud"]);
  assertEquals(config.hosts, []);
});

Deno.test("parseDockerConfig() rejects a file that is not a JSON object", () => {
  assertThrows(() => parse([]), CorruptError, "not a JSON object");
  assertThrows(() => parseDockerConfig(new TextEncoder().encode("{")), CorruptError);
});
