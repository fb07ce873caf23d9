import { RegistryError } from "../../../lib/oci/error.ts";
import { matchRoute, type Route, splitUrl } from "../../../lib/registry/route.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const SHA256 = `sha256:${"a".repeat(64)}` as const;
const SHA512 = `sha512:${"b".repeat(128)}` as const;

const manifest = (repo: string, name: string, reference: string, ns?: string): Route => (
  { kind: "manifest", repo, name, reference, ...(ns === undefined ? {} : { ns }) }
);

const routes: [string, string, Route | undefined][] = [
  ["finds the ping", "/v2/", { kind: "ping" }],
  ["finds the ping without its slash", "/v2", { kind: "ping" }],
  ["finds the ping of a mirror", "/mirrors/quay.io/v2/", { kind: "ping" }],
  ["finds the ping with a namespace", "/v2/?ns=quay.io", { kind: "ping", ns: "quay.io" }],
  ["finds the health check", "/healthz", { kind: "health" }],
  ["finds the catalog", "/v2/_catalog?n=5&last=x%2Fy", { kind: "catalog", n: "5", last: "x/y" }],
  ["takes a whole URL", "http://127.0.0.1:6060/v2/a/b/manifests/1", manifest("docker.io/a/b", "a/b", "1")],
  ["takes a URL with a fragment", "http://h/v2/a/b/manifests/1#x?y", manifest("docker.io/a/b", "a/b", "1")],
  ["gives one segment library/", "/v2/nginx/manifests/1.27", manifest("docker.io/library/nginx", "nginx", "1.27")],
  ["keeps two segments", "/v2/a/b/manifests/1", manifest("docker.io/a/b", "a/b", "1")],
  ["takes a digest as reference", `/v2/a/b/manifests/${SHA512}`, manifest("docker.io/a/b", "a/b", SHA512)],
  [
    "takes the first segment with a dot as host",
    "/v2/quay.io/a/b/manifests/1",
    manifest("quay.io/a/b", "quay.io/a/b", "1"),
  ],
  ["gives library/ only on docker.io", "/v2/quay.io/a/manifests/1", manifest("quay.io/a", "quay.io/a", "1")],
  [
    "gives library/ behind docker.io too",
    "/v2/docker.io/a/manifests/1",
    manifest("docker.io/library/a", "docker.io/a", "1"),
  ],
  [
    "takes index.docker.io as docker.io",
    "/v2/index.docker.io/a/manifests/1",
    manifest("docker.io/library/a", "index.docker.io/a", "1"),
  ],
  ["takes a host with a port", "/v2/reg:5000/a/manifests/1", manifest("reg:5000/a", "reg:5000/a", "1")],
  [
    "takes a host with its port behind two underscores",
    "/v2/reg.lan__5000/a/manifests/1",
    manifest("reg.lan:5000/a", "reg.lan__5000/a", "1"),
  ],
  [
    "takes such a host without a dot",
    "/v2/reg__5000/a/b/manifests/1",
    manifest("reg:5000/a/b", "reg__5000/a/b", "1"),
  ],
  [
    "takes two underscores in a name as they are",
    "/v2/team__a/b__1/manifests/1",
    manifest("docker.io/team__a/b__1", "team__a/b__1", "1"),
  ],
  ["takes localhost as host", "/v2/localhost/a/manifests/1", manifest("localhost/a", "localhost/a", "1")],
  ["takes an address as host", "/v2/[::1]:5000/a/manifests/1", manifest("[::1]:5000/a", "[::1]:5000/a", "1")],
  ["writes a host in lower case", "/v2/Quay.IO/a/manifests/1", manifest("quay.io/a", "Quay.IO/a", "1")],
  [
    "takes one segment with a dot as a name",
    "/v2/my.app/manifests/1",
    manifest("docker.io/library/my.app", "my.app", "1"),
  ],

  ["lets ns win over docker.io", "/v2/a/b/manifests/1?ns=quay.io", manifest("quay.io/a/b", "a/b", "1", "quay.io")],
  [
    "lets ns win over the first segment",
    "/v2/ghcr.io/a/manifests/1?ns=quay.io",
    manifest("quay.io/ghcr.io/a", "ghcr.io/a", "1", "quay.io"),
  ],
  [
    "lets ns win over the mirror's path",
    "/mirrors/ghcr.io/v2/a/b/manifests/1?ns=quay.io",
    manifest("quay.io/a/b", "a/b", "1", "quay.io"),
  ],
  [
    "takes the host of ns once when the path begins with it",
    "/v2/quay.io/a/b/manifests/1?ns=quay.io",
    manifest("quay.io/a/b", "quay.io/a/b", "1", "quay.io"),
  ],
  [
    "takes the host of ns once under another spelling",
    "/v2/docker.io/library/a/manifests/1?ns=registry-1.docker.io",
    manifest("docker.io/library/a", "docker.io/library/a", "1", "registry-1.docker.io"),
  ],
  [
    "keeps a segment that is like ns but no host",
    "/v2/reg/a/manifests/1?ns=reg",
    manifest("reg/reg/a", "reg/a", "1", "reg"),
  ],
  ["takes an encoded port in ns", "/v2/a/manifests/1?ns=reg%3A5000", manifest("reg:5000/a", "a", "1", "reg:5000")],
  [
    "takes ns=docker.io",
    "/v2/library/nginx/manifests/1?ns=docker.io",
    manifest("docker.io/library/nginx", "library/nginx", "1", "docker.io"),
  ],
  [
    "takes a link-local ns as a name like any other [59]",
    "/v2/a/manifests/1?ns=169.254.169.254",
    manifest("169.254.169.254/a", "a", "1", "169.254.169.254"),
  ],

  ["takes the host in front of /v2", "/mirrors/quay.io/v2/a/b/manifests/1", manifest("quay.io/a/b", "a/b", "1")],
  [
    "takes the host of hub-prefix-mirrors",
    "/hub-prefix-mirrors/docker.io/v2/nginx/manifests/1",
    manifest("docker.io/library/nginx", "nginx", "1"),
  ],
  ["takes an encoded port in front of /v2", "/mirrors/reg%3A5000/v2/a/manifests/1", manifest("reg:5000/a", "a", "1")],

  ["finds a blob", `/v2/a/b/blobs/${SHA256}`, { kind: "blob", repo: "docker.io/a/b", name: "a/b", digest: SHA256 }],
  ["finds a blob with its colon encoded", `/v2/a/b/blobs/${SHA256.replace(":", "%3A")}`, {
    kind: "blob",
    repo: "docker.io/a/b",
    name: "a/b",
    digest: SHA256,
  }],
  ["takes an encoded slash as a slash", "/v2/a%2Fb/manifests/1", manifest("docker.io/a/b", "a/b", "1")],
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
  ["finds the referrers of one type", `/v2/a/b/referrers/${SHA256}?artifactType=application%2Fx%2By`, {
    kind: "referrers",
    repo: "docker.io/a/b",
    name: "a/b",
    digest: SHA256,
    artifactType: "application/x+y",
  }],

  [
    "takes manifests as part of a name",
    "/v2/a/manifests/manifests/1",
    manifest("docker.io/a/manifests", "a/manifests", "1"),
  ],
  ["takes tags/list as part of a name", "/v2/tags/list/manifests/1", manifest("docker.io/tags/list", "tags/list", "1")],
  ["takes list as a tag", "/v2/a/tags/manifests/list", manifest("docker.io/a/tags", "a/tags", "list")],
  ["takes a repository that ends in manifests", "/v2/a/manifests/tags/list", {
    kind: "tags",
    repo: "docker.io/a/manifests",
    name: "a/manifests",
  }],
  ["takes blobs as a whole name", `/v2/blobs/blobs/${SHA256}`, {
    kind: "blob",
    repo: "docker.io/library/blobs",
    name: "blobs",
    digest: SHA256,
  }],
  ["takes v2 as a name", "/v2/v2/manifests/1", manifest("docker.io/library/v2", "v2", "1")],

  ["knows no root", "/", undefined],
  ["knows no empty path", "", undefined],
  ["knows no URL without path", "http://host", undefined],
  ["knows no /v1", "/v1/_ping", undefined],
  ["knows no /v2x", "/v2x/a/manifests/1", undefined],
  ["knows no /v20/", "/v20/a/manifests/1", undefined],
  ["knows no double slash", "//v2/", undefined],
  ["knows no manifest without a name", "/v2/manifests/1", undefined],
  ["knows no manifest without a reference", "/v2/a/manifests/", undefined],
  ["knows no name alone", "/v2/a", undefined],
  ["knows no tags/other", "/v2/a/tags/other", undefined],
  ["knows no tags/list with a slash", "/v2/a/tags/list/", undefined],
  ["knows no upload", "/v2/a/blobs/uploads/", undefined],
  ["knows no upload with an id", "/v2/a/blobs/uploads/123", undefined],
  ["knows no folder of mirrors", "/mirrors/quay.io/x/a/manifests/1", undefined],
  ["knows no mirror without a host", "/mirrors//v2/a/manifests/1", undefined],
  ["knows no health of another path", "/healthz/x", undefined],
  ["knows no reference that climbs out [54]", "/v2/a/manifests/..%2F..%2Fetc%2Fpasswd", undefined],
  ["knows no digest that climbs out [54]", "/v2/a/blobs/sha256%3A..%2F..%2Fdata", undefined],
];

for (const [what, url, expected] of routes) {
  Deno.test(`matchRoute() ${what}`, () => assertEquals(matchRoute(url), expected));
}

const refused: [string, string, string][] = [
  ["a name in upper case", "/v2/App/manifests/1", "NAME_INVALID"],
  ["a name with an empty segment", "/v2/a//b/manifests/1", "NAME_INVALID"],
  ["a name that is too long", `/v2/${"a/".repeat(200)}a/manifests/1`, "NAME_INVALID"],
  ["a name that climbs out [54]", "/v2/a/../../etc/manifests/1", "NAME_INVALID"],
  ["a name that climbs out, encoded [54]", "/v2/a/%2e%2e/%2E%2E/etc/manifests/1", "NAME_INVALID"],
  ["a name that climbs out, encoded with its slashes [54]", "/v2/a%2f..%2f..%2fetc/manifests/1", "NAME_INVALID"],
  ["a name that is encoded twice [54]", "/v2/a/%252e%252e/b/manifests/1", "NAME_INVALID"],
  ["a name with a backslash [54]", "/v2/a%5C..%5Cb/manifests/1", "NAME_INVALID"],
  ["a name with NUL [54]", "/v2/a%00/manifests/1", "NAME_INVALID"],
  ["a name that is not UTF-8 [54]", "/v2/a%ff/manifests/1", "NAME_INVALID"],
  ["a path with half an escape [54]", "/v2/a%2/manifests/1", "NAME_INVALID"],
  ["a host with a path behind its port", "/v2/reg:x/a/manifests/1", "NAME_INVALID"],
  ["ns without content", "/v2/a/manifests/1?ns=", "NAME_INVALID"],
  ["ns that climbs out [54]", "/v2/a/manifests/1?ns=..%2F..", "NAME_INVALID"],
  ["ns with a path", "/v2/a/manifests/1?ns=quay.io/x", "NAME_INVALID"],
  ["ns with a user", "/v2/a/manifests/1?ns=u@quay.io", "NAME_INVALID"],
  ["ns that would break a header", "/v2/?ns=a%0D%0AX-Y:%20z", "NAME_INVALID"],
  ["a mirror's host that is none", "/mirrors/..%252f/v2/a/manifests/1", "NAME_INVALID"],
  ["two dots as a mirror's host [54]", "/mirrors/../v2/a/manifests/1", "NAME_INVALID"],
  ["two dots as reference [54]", "/v2/a/manifests/%2e%2e", "MANIFEST_UNKNOWN"],
  ["what is no tag", "/v2/a/manifests/.INVALID_MANIFEST_NAME", "MANIFEST_UNKNOWN"],
  ["a tag that is too long", `/v2/a/manifests/${"a".repeat(129)}`, "MANIFEST_UNKNOWN"],
  ["a reference that is a short digest", "/v2/a/manifests/sha256:totallywrong", "DIGEST_INVALID"],
  ["a digest in upper case", `/v2/a/blobs/${SHA256.toUpperCase()}`, "DIGEST_INVALID"],
  ["a digest of an unknown algorithm", `/v2/a/blobs/md5:${"a".repeat(32)}`, "DIGEST_INVALID"],
  ["a digest without algorithm", `/v2/a/blobs/${"a".repeat(64)}`, "DIGEST_INVALID"],
  ["two dots as digest [54]", "/v2/a/blobs/..", "DIGEST_INVALID"],
  ["a digest that climbs out behind its algorithm [54]", "/v2/a/blobs/sha256:..", "DIGEST_INVALID"],
  ["a subject that is no digest", "/v2/a/referrers/latest", "DIGEST_INVALID"],
];

for (const [what, url, code] of refused) {
  Deno.test(`matchRoute() refuses ${what}`, () => {
    assertEquals(assertThrows(() => matchRoute(url), RegistryError).code, code);
  });
}

Deno.test("splitUrl() gives path and query as they were sent", () => {
  assertEquals(splitUrl("http://h:1/a/../b%20c?x=%2F&y#z"), { path: "/a/../b%20c", query: "x=%2F&y" });
  assertEquals(splitUrl("/a?b?c"), { path: "/a", query: "b?c" });
});
