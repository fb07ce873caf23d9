import { CorruptError } from "../../../lib/oci/error.ts";
import {
  formatPlatform,
  isSamePlatform,
  isUnknownPlatform,
  listRunnablePlatforms,
  normalizePlatform,
  parsePlatform,
  parsePlatforms,
  type Platform,
  platformOfConfig,
} from "../../../lib/oci/platform.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

// The expected values are those of containerd's platforms.Normalize.
const normal: [string, string][] = [
  ["linux/amd64", "linux/amd64"],
  ["linux/x86_64", "linux/amd64"],
  ["linux/x86-64", "linux/amd64"],
  ["linux/amd64/v1", "linux/amd64"],
  ["linux/amd64/v3", "linux/amd64/v3"],
  ["linux/aarch64", "linux/arm64"],
  ["linux/arm64/v8", "linux/arm64"],
  ["linux/arm64/8", "linux/arm64"],
  ["linux/arm64/v9", "linux/arm64/v9"],
  ["linux/arm", "linux/arm/v7"],
  ["linux/arm/7", "linux/arm/v7"],
  ["linux/arm/v6", "linux/arm/v6"],
  ["linux/armhf", "linux/arm/v7"],
  ["linux/armel", "linux/arm/v6"],
  ["linux/i386", "linux/386"],
  ["Linux/ARM64", "linux/arm64"],
  ["macos/arm64", "darwin/arm64"],
  ["arm64", "linux/arm64"],
  ["arm", "linux/arm/v7"],
  [" windows/amd64 ", "windows/amd64"],
  ["linux/riscv64", "linux/riscv64"],
];
for (const [text, expected] of normal) {
  Deno.test(`parsePlatform() parses ${JSON.stringify(text)} as ${expected}`, () => {
    assertEquals(formatPlatform(parsePlatform(text)), expected);
  });
}

for (const text of ["", " ", "/", "linux/", "/amd64", "linux/arm/v7/x", "linux amd64", "linux/é"]) {
  Deno.test(`parsePlatform() rejects ${JSON.stringify(text)}`, () => {
    assertThrows(() => parsePlatform(text), CorruptError);
  });
}

Deno.test("parsePlatforms() removes duplicates and keeps the order", () => {
  const text = "linux/arm64, linux/amd64,,aarch64,linux/arm64/v8";
  assertEquals(parsePlatforms(text).map(formatPlatform), ["linux/arm64", "linux/amd64"]);
  assertEquals(parsePlatforms(""), []);
});

Deno.test("normalizePlatform() keeps the operating system's version", () => {
  assertEquals(normalizePlatform({ os: "windows", architecture: "amd64", "os.version": "10.0.1" }), {
    os: "windows",
    architecture: "amd64",
    "os.version": "10.0.1",
  });
});

Deno.test("normalizePlatform() removes an empty variant", () => {
  assertEquals(normalizePlatform({ os: "linux", architecture: "amd64", variant: "" }), {
    os: "linux",
    architecture: "amd64",
  });
});

Deno.test("isSamePlatform() compares normalized platforms", () => {
  const arm64 = { os: "linux", architecture: "arm64" };
  assertEquals(isSamePlatform(arm64, { os: "linux", architecture: "aarch64", variant: "v8" }), true);
  assertEquals(isSamePlatform(arm64, { os: "linux", architecture: "arm", variant: "v8" }), false);
  assertEquals(isSamePlatform(arm64, { os: "windows", architecture: "arm64" }), false);
});

Deno.test("isUnknownPlatform() finds attestations", () => {
  assertEquals(isUnknownPlatform({ os: "unknown", architecture: "unknown" }), true);
  assertEquals(isUnknownPlatform({ os: "linux", architecture: "unknown" }), true);
  assertEquals(isUnknownPlatform({ os: "linux", architecture: "amd64" }), false);
});

// The table of containerd's own test of platforms.Only.
const RUNNABLE: readonly [string, string[]][] = [
  ["linux/amd64", ["linux/amd64", "linux/386"]],
  ["linux/amd64/v3", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"]],
  ["linux/386", ["linux/386"]],
  ["windows/amd64", ["windows/amd64", "windows/386"]],
  ["linux/arm/v8", ["linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]],
  ["linux/arm", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]],
  ["linux/arm/v5", ["linux/arm/v5"]],
  ["linux/arm/v4", ["linux/arm/v4"]],
  ["linux/arm64/v8.1", ["linux/arm64/v8.1", "linux/arm64", ..."8765".split("").map((it) => `linux/arm/v${it}`)]],
  ["linux/arm64/v9.0", [
    "linux/arm64/v9",
    ...[5, 4, 3, 2, 1].map((it) => `linux/arm64/v8.${it}`),
    "linux/arm64",
    ..."8765".split("").map((it) => `linux/arm/v${it}`),
  ]],
  ["linux/s390x", ["linux/s390x"]],
];
for (const [given, expected] of RUNNABLE) {
  Deno.test(`[87] listRunnablePlatforms() of ${given}`, () => {
    assertEquals(listRunnablePlatforms(parsePlatform(given)).map(formatPlatform), expected);
  });
}

const configs: [what: string, config: unknown, expected: Platform | undefined][] = [
  ["an image", { os: "linux", architecture: "amd64", config: {} }, { os: "linux", architecture: "amd64" }],
  ["a variant", { os: "linux", architecture: "arm", variant: "v7" }, {
    os: "linux",
    architecture: "arm",
    variant: "v7",
  }],
  ["an empty variant", { os: "linux", architecture: "arm", variant: "" }, { os: "linux", architecture: "arm" }],
  ["an empty name", { os: "", architecture: "amd64" }, undefined],
  ["no architecture", { os: "linux" }, undefined],
  ["an artifact", {}, undefined],
  ["no object", [], undefined],
];
for (const [what, config, expected] of configs) {
  Deno.test(`platformOfConfig() of ${what}`, () => assertEquals(platformOfConfig(config), expected));
}
