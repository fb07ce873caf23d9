import { RegistryError } from "../../../lib/oci/error.ts";
import {
  formatReference,
  formatRepository,
  isHostSegment,
  isRegistryHost,
  isRepositoryPath,
  isTag,
  normalizeHost,
  parseReference,
  repositoryOf,
  splitRepository,
} from "../../../lib/oci/reference.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const DIGEST = `sha256:${"a".repeat(64)}` as const;

const good: [string, string, string][] = [
  ["expands one segment to docker.io/library", "nginx", "docker.io/library/nginx"],
  ["keeps the tag", "nginx:1.27", "docker.io/library/nginx:1.27"],
  ["keeps the digest", `nginx@${DIGEST}`, `docker.io/library/nginx@${DIGEST}`],
  ["keeps both tag and digest", `a/b:1@${DIGEST}`, `docker.io/a/b:1@${DIGEST}`],
  ["expands two segments to docker.io", "team/app", "docker.io/team/app"],
  ["treats a first segment with a dot as a host", "quay.io/a/b/c:1", "quay.io/a/b/c:1"],
  ["keeps the port", "registry.lan:5000/team/app:1.2", "registry.lan:5000/team/app:1.2"],
  ["keeps the port without a tag", "registry.lan:5000/app", "registry.lan:5000/app"],
  ["treats a first segment with a port as a host", "reg:5000/app", "reg:5000/app"],
  ["treats localhost as a host", "localhost/app", "localhost/app"],
  ["treats an IPv4 address as a host", "10.0.0.1/app:x", "10.0.0.1/app:x"],
  ["treats an IPv6 address as a host", "[2001:db8::1]:5000/app:x", "[2001:db8::1]:5000/app:x"],
  ["inserts library/ after docker.io", "docker.io/nginx", "docker.io/library/nginx"],
  ["normalizes index.docker.io to docker.io", "index.docker.io/nginx:1", "docker.io/library/nginx:1"],
  ["normalizes registry-1.docker.io to docker.io", "registry-1.docker.io/a/b", "docker.io/a/b"],
  ["converts the host to lower case", "Quay.IO/a", "quay.io/a"],
  ["treats one segment with a colon as name and tag", "localhost:5000", "docker.io/library/localhost:5000"],
  ["treats one segment with a dot as a name", "my.app:1", "docker.io/library/my.app:1"],
  ["accepts every separator of the grammar", "a/b.c_d__e-f---g", "docker.io/a/b.c_d__e-f---g"],
  ["accepts an upper-case tag", "a/b:V1.0_rc-1", "docker.io/a/b:V1.0_rc-1"],
];
for (const [what, text, expected] of good) {
  Deno.test(`parseReference() ${what}`, () => {
    const reference = parseReference(text);
    assertEquals(formatReference(reference), expected);
    assertEquals(parseReference(expected), reference);
  });
}

const wrong: [string, string, string][] = [
  ["an empty string", "", "NAME_INVALID"],
  ["a tag without a name", ":1", "NAME_INVALID"],
  ["a host without a path", "quay.io/", "NAME_INVALID"],
  ["an empty segment", "a//b", "NAME_INVALID"],
  ["a leading slash", "/a/b", "NAME_INVALID"],
  ["an upper-case name", "a/B", "NAME_INVALID"],
  ["two dots as a segment [54]", "a/../b", "NAME_INVALID"],
  ["a scheme", "https://quay.io/a", "NAME_INVALID"],
  ["white space", "a/b c", "NAME_INVALID"],
  ["a name that begins with a separator", "a/-b", "NAME_INVALID"],
  ["three underscores", "a/b___c", "NAME_INVALID"],
  ["an invalid host", "-x.y/a", "NAME_INVALID"],
  ["an invalid port", "x.y:port/a", "NAME_INVALID"],
  ["a port above 65535 [90]", "x.y:65536/a", "NAME_INVALID"],
  ["an address that no URL can have [90]", "1.2.3.256/a", "NAME_INVALID"],
  ["two digests", `a@${DIGEST}@${DIGEST}`, "NAME_INVALID"],
  ["an empty tag", "a/b:", "TAG_INVALID"],
  ["a tag that begins with a dot", "a/b:.x", "TAG_INVALID"],
  ["a tag that is too long", `a/b:${"x".repeat(129)}`, "TAG_INVALID"],
  ["an empty digest", "a/b@", "DIGEST_INVALID"],
  ["a short digest", "a/b@sha256:abc", "DIGEST_INVALID"],
];
for (const [what, text, code] of wrong) {
  Deno.test(`parseReference() rejects ${what}`, () => {
    assertEquals(assertThrows(() => parseReference(text), RegistryError).code, code);
  });
}

Deno.test("isTag() accepts up to 128 characters", () => {
  assertEquals([isTag("x".repeat(128)), isTag("x".repeat(129)), isTag(""), isTag("a/b"), isTag("a\n")], [
    true,
    false,
    false,
    false,
    false,
  ]);
});

Deno.test("isRepositoryPath() accepts up to 255 characters", () => {
  assertEquals([isRepositoryPath("x".repeat(255)), isRepositoryPath("x".repeat(256)), isRepositoryPath("a\n")], [
    true,
    false,
    false,
  ]);
});

Deno.test("isRegistryHost() accepts names and addresses, with or without a port", () => {
  const hosts = ["a", "a.b", "a-b.c:1", "1.2.3.4:5000", "[::1]", "[::1]:5000", "LOCALHOST"];
  assertEquals(hosts.map(isRegistryHost), hosts.map(() => true));
  const others = [
    "",
    ".",
    "..",
    "a..b",
    "a.",
    "-a",
    "a-",
    "a/b",
    "a:b",
    "a:",
    "a:123456",
    "a:65536",
    "1.2.3.256",
    "a.1",
    "u@h",
    "a b",
    "a\n",
    "::1",
  ];
  assertEquals(others.map(isRegistryHost), others.map(() => false));
});

Deno.test("isHostSegment() accepts segments with a dot or a colon, and localhost", () => {
  assertEquals(["a.b", "a:1", "localhost", "a", "library"].map(isHostSegment), [true, true, true, false, false]);
});

const hosts: [string, string][] = [
  ["index.docker.io", "docker.io"],
  ["Registry-1.Docker.IO", "docker.io"],
  ["registry-1.docker.io:443", "docker.io"],
  ["quay.io:443", "quay.io"],
  ["Reg.Lan:80", "reg.lan"],
  ["reg.lan:5000", "reg.lan:5000"],
  ["reg.lan:4430", "reg.lan:4430"],
  ["[::1]:443", "[::1]"],
  ["127.0.0.1:80", "127.0.0.1"],
  ["localhost:80", "localhost"],
  // Without the port it would be the first segment of a path on docker.io.
  ["registry:443", "registry:443"],
  ["registry:80", "registry:80"],
];
// Each of these leads to the same address as the expected name, so it must not escape from a rule about that name.
const spellings: [string, string][] = [
  ["reg.lan:0443", "reg.lan"],
  ["reg.lan:00443", "reg.lan"],
  ["reg.lan:080", "reg.lan"],
  ["reg.lan:05000", "reg.lan:5000"],
  ["registry:0443", "registry:443"],
  ["registry-1.docker.io:0443", "docker.io"],
  ["10.5:5000", "10.0.0.5:5000"],
  ["012.0.0.5", "10.0.0.5"],
  ["0xA.5:443", "10.0.0.5"],
  ["167772165", "10.0.0.5"],
  ["167772165:443", "10.0.0.5"],
  ["[0:0:0:0::1]:5000", "[::1]:5000"],
  ["[2001:DB8::0:1]", "[2001:db8::1]"],
  // These are no hosts.
  ["user@10.5", "user@10.5"],
  ["1.2.3.256", "1.2.3.256"],
  ["*", "*"],
];
for (const [host, expected] of spellings) {
  Deno.test(`[90] normalizeHost() makes ${expected} of ${host}`, () => {
    assertEquals(normalizeHost(host), expected);
    assertEquals(normalizeHost(expected), expected);
  });
}
for (const [host, expected] of hosts) {
  Deno.test(`[74] normalizeHost() makes ${expected} of ${host}`, () => assertEquals(normalizeHost(host), expected));
}

Deno.test("splitRepository() is the inverse of formatRepository()", () => {
  for (const [host, path] of [["docker.io", "library/a"], ["reg:5000", "a/b/c"]] as const) {
    assertEquals(splitRepository(formatRepository(host, path)), { host, path });
  }
  assertEquals(repositoryOf({ host: "quay.io", path: "a/b", tag: "1" }), "quay.io/a/b");
});

Deno.test("parseReference() shortens a long text in its error message", () => {
  const { message } = assertThrows(() => parseReference("X".repeat(100_000)), RegistryError);
  assertEquals(message.length < 800, true);
});
