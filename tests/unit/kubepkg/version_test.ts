import type { KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { compareRelease, type Verdict } from "../../../lib/kubepkg/version.ts";
import { assertEquals } from "../../support/assert.ts";

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

const CASES: readonly [string, KubePkg | undefined, KubePkg, Verdict, boolean][] = [
  ["a first install", undefined, make("0.0.1"), "install", false],
  ["a higher version", make("0.9.0"), make("0.10.0"), "upgrade", false],
  ["a release after its pre-release", make("1.0.0-rc.1"), make("1.0.0"), "upgrade", false],
  ["pre-releases by number", make("1.0.0-rc.9"), make("1.0.0-rc.10"), "upgrade", false],
  ["a leading v", make("1.0.0"), make("v1.0.1"), "upgrade", false],
  ["a lower version", make("1.0.1"), make("v1.0.0"), "downgrade", true],
  ["a pre-release after its release", make("1.0.0"), make("1.0.0-rc.1"), "downgrade", true],
  ["the same", make("1.0.0"), make("1.0.0"), "same", false],
  ["the same with another status", make("1.0.0", {}, { status: { digests: [] } }), make("1.0.0"), "same", false],
  [
    "the same in another order",
    make("1.0.0"),
    make("1.0.0", { manifests: { m: { b: 2, a: 1, kind: "X", apiVersion: "v1" } } }),
    "same",
    false,
  ],
  [
    "the same with images spelled out",
    make("1.0.0"),
    make("1.0.0", { images: { "docker.io/library/nginx:1": A } }),
    "same",
    false,
  ],
  [
    "the default namespace spelled out",
    make("1.0.0"),
    make("1.0.0", {}, { metadata: { namespace: "default", name: "demo" } }),
    "same",
    false,
  ],
  ["another manifest", make("1.0.0"), make("1.0.0", { manifests: {} }), "changed", true],
  [
    "another digest",
    make("1.0.0"),
    make("1.0.0", { images: { "nginx:1": A.replaceAll("a", "b").replace("shb", "sha") } }),
    "changed",
    true,
  ],
  ["other build metadata", make("1.0.0+1"), make("1.0.0+2"), "changed", true],
];

for (const [title, installed, candidate, verdict, needsForce] of CASES) {
  Deno.test(`compareRelease() judges ${title}: ${verdict}`, () => {
    assertEquals(compareRelease(installed, candidate), {
      verdict,
      ...(installed === undefined ? {} : { installedVersion: installed.spec.version }),
      candidateVersion: candidate.spec.version,
      needsForce,
    });
  });
}
