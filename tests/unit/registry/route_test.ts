import { RegistryError } from "../../../lib/oci/error.ts";
import { type ManifestRoute, matchRoute, type Route, splitUrl } from "../../../lib/registry/route.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const SHA256 = `sha256:${"a".repeat(64)}` as const;
const SHA512 = `sha512:${"b".repeat(128)}` as const;

const manifest = (repo: string, name: string, reference: string): ManifestRoute => ({
  kind: "manifest",
  repo,
  name,
  reference,
});

const routes: [string, string, Route | undefined][] = [
  ["finds the ping", "/v2/", { kind: "ping" }],
  ["finds the ping without a trailing slash", "/v2", { kind: "ping" }],
  ["finds the ping of a mirror", "/mirrors/quay.io/v2/", { kind: "ping", host: "quay.io" }],
  ["finds the ping with a namespace", "/v2/?ns=quay.io", { kind: "ping", ns: "quay.io" }],
  ["finds the health check", "/healthz", { kind: "health" }],
  ["finds the catalog", "/v2/_catalog?n=5&last=x%2Fy", { kind: "catalog", n: "5", last: "x/y" }],
  ["accepts a complete URL", "http://127.0.0.1:6060/v2/a/b/manifests/1", manifest("docker.io/a/b", "a/b", "1")],
  ["ignores the fragment of a URL", "http://h/v2/a/b/manifests/1#x?y", manifest("docker.io/a/b", "a/b", "1")],
  [
    "inserts library/ before a single segment",
    "/v2/nginx/manifests/1.27",
    manifest("docker.io/library/nginx", "nginx", "1.27"),
  ],
  ["keeps two segments", "/v2/a/b/manifests/1", manifest("docker.io/a/b", "a/b", "1")],
  ["accepts a digest as reference", `/v2/a/b/manifests/${SHA512}`, manifest("docker.io/a/b", "a/b", SHA512)],
  [
    "treats a first segment with a dot as a host",
    "/v2/quay.io/a/b/manifests/1",
    manifest("quay.io/a/b", "quay.io/a/b", "1"),
  ],
  ["inserts library/ only on docker.io", "/v2/quay.io/a/manifests/1", manifest("quay.io/a", "quay.io/a", "1")],
  [
    "inserts library/ after an explicit docker.io",
    "/v2/docker.io/a/manifests/1",
    manifest("docker.io/library/a", "docker.io/a", "1"),
  ],
  [
    "normalizes index.docker.io to docker.io",
    "/v2/index.docker.io/a/manifests/1",
    manifest("docker.io/library/a", "index.docker.io/a", "1"),
  ],
  ["accepts a host with a port", "/v2/reg:5000/a/manifests/1", manifest("reg:5000/a", "reg:5000/a", "1")],
  [
    "accepts a host with its port after two underscores",
    "/v2/reg.lan__5000/a/manifests/1",
    manifest("reg.lan:5000/a", "reg.lan__5000/a", "1"),
  ],
  [
    "accepts a host without a dot with its port after two underscores",
    "/v2/reg__5000/a/b/manifests/1",
    manifest("reg:5000/a/b", "reg__5000/a/b", "1"),
  ],
  [
    "keeps two underscores in a name",
    "/v2/team__a/b__1/manifests/1",
    manifest("docker.io/team__a/b__1", "team__a/b__1", "1"),
  ],
  ["treats localhost as a host", "/v2/localhost/a/manifests/1", manifest("localhost/a", "localhost/a", "1")],
  ["treats an IP address as a host", "/v2/[::1]:5000/a/manifests/1", manifest("[::1]:5000/a", "[::1]:5000/a", "1")],
  ["converts a host to lower case", "/v2/Quay.IO/a/manifests/1", manifest("quay.io/a", "Quay.IO/a", "1")],
  [
    "treats one segment with a dot as a name",
    "/v2/my.app/manifests/1",
    manifest("docker.io/library/my.app", "my.app", "1"),
  ],

  ["prefers ns to docker.io", "/v2/a/b/manifests/1?ns=quay.io", {
    ...manifest("quay.io/a/b", "a/b", "1"),
    ns: "quay.io",
  }],
  [
    "prefers ns to the first segment",
    "/v2/ghcr.io/a/manifests/1?ns=quay.io",
    { ...manifest("quay.io/ghcr.io/a", "ghcr.io/a", "1"), ns: "quay.io" },
  ],
  [
    "prefers ns to the prefix before /v2",
    "/mirrors/ghcr.io/v2/a/b/manifests/1?ns=quay.io",
    { ...manifest("quay.io/a/b", "a/b", "1"), ns: "quay.io" },
  ],
  [
    "removes the host from the name when it equals ns",
    "/v2/quay.io/a/b/manifests/1?ns=quay.io",
    { ...manifest("quay.io/a/b", "quay.io/a/b", "1"), ns: "quay.io" },
  ],
  [
    "removes the host from the name when it is another name of ns",
    "/v2/docker.io/library/a/manifests/1?ns=registry-1.docker.io",
    { ...manifest("docker.io/library/a", "docker.io/library/a", "1"), ns: "registry-1.docker.io" },
  ],
  [
    "keeps a segment that equals ns but is not a host",
    "/v2/reg/a/manifests/1?ns=reg",
    { ...manifest("reg/reg/a", "reg/a", "1"), ns: "reg" },
  ],
  ["accepts an encoded port in ns", "/v2/a/manifests/1?ns=reg%3A5000", {
    ...manifest("reg:5000/a", "a", "1"),
    ns: "reg:5000",
  }],
  [
    "accepts ns=docker.io",
    "/v2/library/nginx/manifests/1?ns=docker.io",
    { ...manifest("docker.io/library/nginx", "library/nginx", "1"), ns: "docker.io" },
  ],
  [
    "accepts a link-local address in ns, which is only a name here [59]",
    "/v2/a/manifests/1?ns=169.254.169.254",
    { ...manifest("169.254.169.254/a", "a", "1"), ns: "169.254.169.254" },
  ],

  [
    "takes the host from the prefix /mirrors/",
    "/mirrors/quay.io/v2/a/b/manifests/1",
    manifest("quay.io/a/b", "a/b", "1"),
  ],
  [
    "takes the host from the prefix /hub-prefix-mirrors/",
    "/hub-prefix-mirrors/docker.io/v2/nginx/manifests/1",
    manifest("docker.io/library/nginx", "nginx", "1"),
  ],
  ["accepts an encoded port in the prefix", "/mirrors/reg%3A5000/v2/a/manifests/1", manifest("reg:5000/a", "a", "1")],

  ["finds a blob", `/v2/a/b/blobs/${SHA256}`, { kind: "blob", repo: "docker.io/a/b", name: "a/b", digest: SHA256 }],
  ["finds a blob with an encoded colon", `/v2/a/b/blobs/${SHA256.replace(":", "%3A")}`, {
    kind: "blob",
    repo: "docker.io/a/b",
    name: "a/b",
    digest: SHA256,
  }],
  ["decodes an encoded slash", "/v2/a%2Fb/manifests/1", manifest("docker.io/a/b", "a/b", "1")],
  ["finds the tags", "/v2/a/b/tags/list?n=2&last=z", {
    kind: "tags",
    repo: "docker.io/a/b",
    name: "a/b",
    n: "2",
    last: "z",
  }],
  ["finds the referrers", `/v2/a/b/referrers/${SHA256}`, {
    kind: "referrers",
    repo: "docker.io/a/b",
    name: "a/b",
    digest: SHA256,
  }],
  [
    "finds the referrers with an artifact type whose + is not escaped",
    `/v2/a/b/referrers/${SHA256}?artifactType=application/x+y+z`,
    {
      kind: "referrers",
      name: "a/b",
      repo: "docker.io/a/b",
      digest: SHA256,
      artifactType: "application/x+y+z",
    },
  ],
  ["finds the referrers with an artifact type", `/v2/a/b/referrers/${SHA256}?artifactType=application%2Fx%2By`, {
    kind: "referrers",
    repo: "docker.io/a/b",
    name: "a/b",
    digest: SHA256,
    artifactType: "application/x+y",
  }],

  [
    "accepts manifests as a part of the name",
    "/v2/a/manifests/manifests/1",
    manifest("docker.io/a/manifests", "a/manifests", "1"),
  ],
  [
    "accepts tags/list as a part of the name",
    "/v2/tags/list/manifests/1",
    manifest("docker.io/tags/list", "tags/list", "1"),
  ],
  ["accepts list as a tag", "/v2/a/tags/manifests/list", manifest("docker.io/a/tags", "a/tags", "list")],
  ["accepts a repository that ends in manifests", "/v2/a/manifests/tags/list", {
    kind: "tags",
    repo: "docker.io/a/manifests",
    name: "a/manifests",
  }],
  ["accepts blobs as the whole name", `/v2/blobs/blobs/${SHA256}`, {
    kind: "blob",
    repo: "docker.io/library/blobs",
    name: "blobs",
    digest: SHA256,
  }],
  ["accepts v2 as a name", "/v2/v2/manifests/1", manifest("docker.io/library/v2", "v2", "1")],

  ["finds the root", "/?x", { kind: "root" }],
  ["returns undefined for an empty path", "", undefined],
  ["returns undefined for a URL without a path", "http://host", undefined],
  ["returns undefined for /v1", "/v1/_ping", undefined],
  ["returns undefined for /v2x", "/v2x/a/manifests/1", undefined],
  ["returns undefined for /v20/", "/v20/a/manifests/1", undefined],
  ["returns undefined for a double slash", "//v2/", undefined],
  ["returns undefined for a manifest without a name", "/v2/manifests/1", undefined],
  ["returns undefined for a manifest without a reference", "/v2/a/manifests/", undefined],
  ["returns undefined for a name without a resource", "/v2/a", undefined],
  ["returns undefined for tags/other", "/v2/a/tags/other", undefined],
  ["returns undefined for tags/list with a trailing slash", "/v2/a/tags/list/", undefined],
  ["returns undefined for an upload", "/v2/a/blobs/uploads/", undefined],
  ["returns undefined for an upload with an id", "/v2/a/blobs/uploads/123", undefined],
  ["returns undefined for a mirror prefix without /v2", "/mirrors/quay.io/x/a/manifests/1", undefined],
  ["returns undefined for a mirror prefix without a host", "/mirrors//v2/a/manifests/1", undefined],
  ["returns undefined for a path below the health check", "/healthz/x", undefined],
  ["returns undefined for a path traversal in the reference [54]", "/v2/a/manifests/..%2F..%2Fetc%2Fpasswd", undefined],
  ["returns undefined for a path traversal in the digest [54]", "/v2/a/blobs/sha256%3A..%2F..%2Fdata", undefined],
];

for (const [what, url, expected] of routes) {
  Deno.test(`matchRoute() ${what}`, () => assertEquals(matchRoute(url), expected));
}

const refused: [string, string, string][] = [
  ["an upper-case name", "/v2/App/manifests/1", "NAME_INVALID"],
  ["a name with an empty segment", "/v2/a//b/manifests/1", "NAME_INVALID"],
  ["a name that is too long", `/v2/${"a/".repeat(200)}a/manifests/1`, "NAME_INVALID"],
  ["a path traversal in the name [54]", "/v2/a/../../etc/manifests/1", "NAME_INVALID"],
  ["a path traversal in the name with encoded dots [54]", "/v2/a/%2e%2e/%2E%2E/etc/manifests/1", "NAME_INVALID"],
  ["a path traversal in the name with encoded slashes [54]", "/v2/a%2f..%2f..%2fetc/manifests/1", "NAME_INVALID"],
  ["a name that is encoded twice [54]", "/v2/a/%252e%252e/b/manifests/1", "NAME_INVALID"],
  ["a name with a backslash [54]", "/v2/a%5C..%5Cb/manifests/1", "NAME_INVALID"],
  ["a name with NUL [54]", "/v2/a%00/manifests/1", "NAME_INVALID"],
  ["a name that is not UTF-8 [54]", "/v2/a%ff/manifests/1", "NAME_INVALID"],
  ["a path with an incomplete escape [54]", "/v2/a%2/manifests/1", "NAME_INVALID"],
  ["a host with an invalid port", "/v2/reg:x/a/manifests/1", "NAME_INVALID"],
  ["an empty ns", "/v2/a/manifests/1?ns=", "NAME_INVALID"],
  ["a path traversal in ns [54]", "/v2/a/manifests/1?ns=..%2F..", "NAME_INVALID"],
  ["an ns with a path", "/v2/a/manifests/1?ns=quay.io/x", "NAME_INVALID"],
  ["an ns with a user name", "/v2/a/manifests/1?ns=u@quay.io", "NAME_INVALID"],
  ["an ns with a line break", "/v2/?ns=a%0D%0AX-Y:%20z", "NAME_INVALID"],
  ["an invalid host in the mirror prefix", "/mirrors/..%252f/v2/a/manifests/1", "NAME_INVALID"],
  ["two dots as the host in the mirror prefix [54]", "/mirrors/../v2/a/manifests/1", "NAME_INVALID"],
  ["two dots as the reference [54]", "/v2/a/manifests/%2e%2e", "MANIFEST_UNKNOWN"],
  ["an invalid tag", "/v2/a/manifests/.INVALID_MANIFEST_NAME", "MANIFEST_UNKNOWN"],
  ["a tag that is too long", `/v2/a/manifests/${"a".repeat(129)}`, "MANIFEST_UNKNOWN"],
  ["a reference that is a short digest", "/v2/a/manifests/sha256:totallywrong", "DIGEST_INVALID"],
  ["an upper-case digest", `/v2/a/blobs/${SHA256.toUpperCase()}`, "DIGEST_INVALID"],
  ["a digest of an unknown algorithm", `/v2/a/blobs/md5:${"a".repeat(32)}`, "DIGEST_INVALID"],
  ["a digest without algorithm", `/v2/a/blobs/${"a".repeat(64)}`, "DIGEST_INVALID"],
  ["two dots as the digest [54]", "/v2/a/blobs/..", "DIGEST_INVALID"],
  ["a path traversal in the digest [54]", "/v2/a/blobs/sha256:..", "DIGEST_INVALID"],
  ["a subject that is not a digest", "/v2/a/referrers/latest", "DIGEST_INVALID"],
];

for (const [what, url, code] of refused) {
  Deno.test(`matchRoute() rejects ${what}`, () => {
    assertEquals(assertThrows(() => matchRoute(url), RegistryError).code, code);
  });
}

Deno.test("splitUrl() returns path and query as received", () => {
  assertEquals(splitUrl("http://h:1/a/../b%20c?x=%2F&y#z"), { path: "/a/../b%20c", query: "x=%2F&y" });
  assertEquals(splitUrl("/a?b?c"), { path: "/a", query: "b?c" });
});
