import type { KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import { compareVersions } from "../../../lib/kubepkg/compare_versions.ts";
import { isVersion } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { compareRelease, type Verdict } from "../../../lib/kubepkg/version.ts";
import { assert, assertEquals } from "../../support/assert.ts";

const A = `sha256:${"a".repeat(64)}`;

function make(version: string, spec: object = {}, more: object = {}): KubePkg {
  return parseKubePkg({
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name: "demo" },
    spec: { version, images: { "nginx:1": A }, manifests: { m: { apiVersion: "v1", kind: "X", a: 1, b: 2 } }, ...spec },
    ...more,
  });
}

const CASES: readonly [string, KubePkg | undefined, KubePkg, Verdict][] = [
  ["a first install", undefined, make("0.0.1"), "install"],
  ["a higher version", make("0.9.0"), make("0.10.0"), "upgrade"],
  ["a release after its pre-release", make("1.0.0-rc.1"), make("1.0.0"), "upgrade"],
  ["pre-releases by number", make("1.0.0-rc.9"), make("1.0.0-rc.10"), "upgrade"],
  ["a leading v", make("1.0.0"), make("v1.0.1"), "upgrade"],
  ["a lower version", make("1.0.1"), make("v1.0.0"), "downgrade"],
  ["a pre-release after its release", make("1.0.0"), make("1.0.0-rc.1"), "downgrade"],
  ["the same", make("1.0.0"), make("1.0.0"), "same"],
  ["the same with another status", make("1.0.0", {}, { status: { digests: [] } }), make("1.0.0"), "same"],
  [
    "the same in another order",
    make("1.0.0"),
    make("1.0.0", { manifests: { m: { b: 2, a: 1, kind: "X", apiVersion: "v1" } } }),
    "same",
  ],
  [
    "the same with images spelled out",
    make("1.0.0"),
    make("1.0.0", { images: { "docker.io/library/nginx:1": A } }),
    "same",
  ],
  [
    "the default namespace spelled out",
    make("1.0.0"),
    make("1.0.0", {}, { metadata: { namespace: "default", name: "demo" } }),
    "same",
  ],
  ["another manifest", make("1.0.0"), make("1.0.0", { manifests: {} }), "changed"],
  [
    "another digest",
    make("1.0.0"),
    make("1.0.0", { images: { "nginx:1": A.replaceAll("a", "b").replace("shb", "sha") } }),
    "changed",
  ],
  ["[86] a later build", make("1.22.2+k0s.1"), make("1.22.2+k0s.2", { manifests: {} }), "upgrade"],
  ["[86] a later build with the same content", make("1.0.0+1"), make("1.0.0+2"), "upgrade"],
  ["[86] an earlier build", make("v1.34.1+k3s10"), make("v1.34.1+k3s9"), "downgrade"],
  [
    "[86] build metadata on one side, other content",
    make("1.0.0"),
    make("1.0.0+1", { manifests: {} }),
    "changed",
  ],
  ["[86] build metadata on one side, the same content", make("1.0.0"), make("1.0.0+1"), "same"],
  ["[86] a leading v with the same content", make("1.0.0"), make("v1.0.0"), "same"],
  ["[86] higher build metadata of a lower version", make("1.0.1+1"), make("1.0.0+9"), "downgrade"],
  [
    "[86] pre-release numbers of over 53 bits",
    make("1.0.0-20240115103000000001"),
    make("1.0.0-20240115103000000002"),
    "upgrade",
  ],
];

for (const [title, installed, candidate, verdict] of CASES) {
  Deno.test(`compareRelease() calls ${title}: ${verdict}`, () => {
    assertEquals(compareRelease(installed, candidate), {
      verdict,
      ...(installed === undefined ? {} : { installedVersion: installed.spec.version }),
    });
  });
}

// semver.org, 11.4, and numbers beyond 53 bits.
const ASCENDING = [
  "0.0.0-0",
  "0.0.0",
  "1.0.0-1",
  "1.0.0-9007199254740992",
  "1.0.0-9007199254740993",
  "1.0.0-20240115103000000001",
  "v1.0.0-20240115103000000002+build.1",
  "1.0.0--1",
  "1.0.0-A",
  "1.0.0-alpha",
  "1.0.0-alpha.1",
  "1.0.0-alpha.beta",
  "1.0.0-beta",
  "1.0.0-beta.2",
  "1.0.0-beta.11",
  "1.0.0-rc.1",
  "1.0.0+7",
  "1.0.0+build-with-a-dash.1",
  "1.0.0+k0s.1",
  "v1.0.0+k0s.2",
  "1.0.0+k0s.2.1",
  "1.0.0+k0s.10",
  "1.0.0+k3s9",
  "1.0.0+k3s10",
  "1.0.0+rke2r1",
  "1.0.0+rke2r2-rc1",
  "1.0.2",
  "1.0.10",
  "1.10.0",
  "9.0.0",
  "10.0.0",
];

Deno.test("[86] compareVersions() orders by precedence and then by build, with numbers of any length", () => {
  ASCENDING.forEach((version, i) => {
    assert(isVersion(version), version);
    const orders = ASCENDING.map((other) => Math.sign(compareVersions(version, other)));
    assertEquals(orders, ASCENDING.map((_, j) => Math.sign(i - j)), version);
  });
  assertEquals([compareVersions("v1.0.0+a", "1.0.0"), compareVersions("1.0.0", "1.0.0+b")], [0, 0]);
});
