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
  ["takes one segment as docker.io/library", "nginx", "docker.io/library/nginx"],
  ["keeps the tag", "nginx:1.27", "docker.io/library/nginx:1.27"],
  ["keeps the digest", `nginx@${DIGEST}`, `docker.io/library/nginx@${DIGEST}`],
  ["keeps tag and digest", `a/b:1@${DIGEST}`, `docker.io/a/b:1@${DIGEST}`],
  ["takes two segments as docker.io", "team/app", "docker.io/team/app"],
  ["takes a first segment with a dot as host", "quay.io/a/b/c:1", "quay.io/a/b/c:1"],
  ["keeps the port", "registry.lan:5000/team/app:1.2", "registry.lan:5000/team/app:1.2"],
  ["keeps the port without a tag", "registry.lan:5000/app", "registry.lan:5000/app"],
  ["takes a port as sign of a host", "reg:5000/app", "reg:5000/app"],
  ["takes localhost as host", "localhost/app", "localhost/app"],
  ["takes an IPv4 address as host", "10.0.0.1/app:x", "10.0.0.1/app:x"],
  ["takes an IPv6 address as host", "[2001:db8::1]:5000/app:x", "[2001:db8::1]:5000/app:x"],
  ["gives library/ behind docker.io", "docker.io/nginx", "docker.io/library/nginx"],
  ["takes index.docker.io as docker.io", "index.docker.io/nginx:1", "docker.io/library/nginx:1"],
  ["takes registry-1.docker.io as docker.io", "registry-1.docker.io/a/b", "docker.io/a/b"],
  ["writes the host in lower case", "Quay.IO/a", "quay.io/a"],
  ["takes one segment with a colon as name and tag", "localhost:5000", "docker.io/library/localhost:5000"],
  ["takes one segment with a dot as name", "my.app:1", "docker.io/library/my.app:1"],
  ["takes separators", "a/b.c_d__e-f---g", "docker.io/a/b.c_d__e-f---g"],
  ["takes a tag in upper case", "a/b:V1.0_rc-1", "docker.io/a/b:V1.0_rc-1"],
];
for (const [what, text, expected] of good) {
  Deno.test(`parseReference() ${what}`, () => {
    const reference = parseReference(text);
    assertEquals(formatReference(reference), expected);
    assertEquals(parseReference(expected), reference);
  });
}

const wrong: [string, string, string][] = [
  ["nothing", "", "NAME_INVALID"],
  ["a tag alone", ":1", "NAME_INVALID"],
  ["a host alone", "quay.io/", "NAME_INVALID"],
  ["an empty segment", "a//b", "NAME_INVALID"],
  ["a slash in front", "/a/b", "NAME_INVALID"],
  ["a name in upper case", "a/B", "NAME_INVALID"],
  ["two dots as a segment [54]", "a/../b", "NAME_INVALID"],
  ["a scheme", "https://quay.io/a", "NAME_INVALID"],
  ["white space", "a/b c", "NAME_INVALID"],
  ["a name that begins with a separator", "a/-b", "NAME_INVALID"],
  ["three underscores", "a/b___c", "NAME_INVALID"],
  ["a host that is none", "-x.y/a", "NAME_INVALID"],
  ["a port that is none", "x.y:port/a", "NAME_INVALID"],
  ["two digests", `a@${DIGEST}@${DIGEST}`, "NAME_INVALID"],
  ["an empty tag", "a/b:", "TAG_INVALID"],
  ["a tag that begins with a dot", "a/b:.x", "TAG_INVALID"],
  ["a tag that is too long", `a/b:${"x".repeat(129)}`, "TAG_INVALID"],
  ["an empty digest", "a/b@", "DIGEST_INVALID"],
  ["a short digest", "a/b@sha256:abc", "DIGEST_INVALID"],
];
for (const [what, text, code] of wrong) {
  Deno.test(`parseReference() refuses ${what}`, () => {
    assertEquals(assertThrows(() => parseReference(text), RegistryError).code, code);
  });
}

Deno.test("isTag() takes up to 128 characters", () => {
  assertEquals([isTag("x".repeat(128)), isTag("x".repeat(129)), isTag(""), isTag("a/b"), isTag("a\n")], [
    true,
    false,
    false,
    false,
    false,
  ]);
});

Deno.test("isRepositoryPath() takes up to 255 characters", () => {
  assertEquals([isRepositoryPath("x".repeat(255)), isRepositoryPath("x".repeat(256)), isRepositoryPath("a\n")], [
    true,
    false,
    false,
  ]);
});

Deno.test("isRegistryHost() takes names and addresses, with or without a port", () => {
  const hosts = ["a", "a.b", "a-b.c:1", "1.2.3.4:5000", "[::1]", "[::1]:5000", "LOCALHOST"];
  assertEquals(hosts.map(isRegistryHost), hosts.map(() => true));
  const others = ["", ".", "..", "a..b", "a.", "-a", "a-", "a/b", "a:b", "a:", "a:123456", "u@h", "a b", "a\n", "::1"];
  assertEquals(others.map(isRegistryHost), others.map(() => false));
});

Deno.test("isHostSegment() takes dots, colons and localhost", () => {
  assertEquals(["a.b", "a:1", "localhost", "a", "library"].map(isHostSegment), [true, true, true, false, false]);
});

Deno.test("normalizeHost() knows docker.io's names", () => {
  assertEquals(["index.docker.io", "Registry-1.Docker.IO", "quay.io:443"].map(normalizeHost), [
    "docker.io",
    "docker.io",
    "quay.io:443",
  ]);
});

Deno.test("formatRepository() and splitRepository() are each other's reverse", () => {
  for (const [host, path] of [["docker.io", "library/a"], ["reg:5000", "a/b/c"]] as const) {
    assertEquals(splitRepository(formatRepository(host, path)), { host, path });
  }
  assertEquals(repositoryOf({ host: "quay.io", path: "a/b", tag: "1" }), "quay.io/a/b");
});

Deno.test("parseReference() shows only the start of a long text", () => {
  const { message } = assertThrows(() => parseReference("X".repeat(100_000)), RegistryError);
  assertEquals(message.length < 800, true);
});
