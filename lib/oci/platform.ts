import { cannot, CorruptError } from "./error.ts";
import { isJsonObject } from "./json.ts";

/** The platform of an index entry (image specification, "Image Index", `platform`). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly "os.version"?: string;
}

const ARCHITECTURES: Readonly<Record<string, string>> = {
  aarch64: "arm64",
  armel: "arm/v6",
  armhf: "arm/v7",
  i386: "386",
  "x86-64": "amd64",
  x86_64: "amd64",
};

// The architectures of Go that run Linux (`go tool dist list`), which image indexes name.
const KNOWN_ARCHITECTURES = new Set(
  "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x wasm".split(" "),
);

// The default variant of these architectures is omitted: `arm64/v8` becomes `arm64`. `arm` always gets one: `arm/v7`.
const DEFAULT_VARIANTS: Readonly<Record<string, string>> = { amd64: "v1", arm64: "v8" };

/** Normalizes a platform in the same way as containerd's `platforms.Normalize`. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase() === "macos" ? "darwin" : platform.os.toLowerCase();
  const lower = platform.architecture.toLowerCase();
  const [architecture = lower, impliedVariant] = (ARCHITECTURES[lower] ?? lower).split("/");
  let variant: string | undefined = platform.variant?.toLowerCase() || impliedVariant;
  if (variant !== undefined && /^[0-9]+$/.test(variant)) variant = `v${variant}`;
  if (architecture === "arm" && variant === undefined) variant = "v7";
  if (architecture === "arm64") variant = variant?.replace(/^(v?[0-9]+)\.0$/, "$1").replace(/^(?=[0-9])/, "v");
  if (variant === DEFAULT_VARIANTS[architecture]) variant = undefined;
  return {
    os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    ...(platform["os.version"] === undefined ? {} : { "os.version": platform["os.version"] }),
  };
}

/**
 * Returns the platform that the config of an image names (image specification, "Image Configuration"), as it is written
 * there; `undefined` if it names none.
 */
export function platformOfConfig(config: unknown): Platform | undefined {
  const { os, architecture, variant } = isJsonObject(config) ? config : {};
  if (typeof os !== "string" || typeof architecture !== "string" || os === "" || architecture === "") return undefined;
  return typeof variant === "string" && variant !== "" ? { os, architecture, variant } : { os, architecture };
}

/**
 * Parses `os/architecture[/variant]`; an architecture alone means linux.
 *
 * @throws {CorruptError} when `text` does not have that form
 */
export function parsePlatform(text: string): Platform {
  const parts = text.trim().split("/");
  const [alone = ""] = parts.map((part) => part.toLowerCase());
  const isWord = parts.length === 1 && !KNOWN_ARCHITECTURES.has(alone) && ARCHITECTURES[alone] === undefined;
  if (parts.length > 3 || isWord || !parts.every((part) => /^[A-Za-z0-9._-]+$/.test(part))) {
    throw new CorruptError(cannot(`use platform ${JSON.stringify(text)}`, "write it like linux/arm64 or linux/arm/v7"));
  }
  const [os = "", architecture, variant] = parts.length === 1 ? ["linux", parts[0]] : parts;
  return normalizePlatform({ os, architecture: architecture ?? "", ...(variant === undefined ? {} : { variant }) });
}

/**
 * Parses a comma-separated list of platforms. Duplicates are removed; the order is kept.
 *
 * @throws {CorruptError} when an entry is not a platform
 */
export function parsePlatforms(text: string): Platform[] {
  const found = new Map<string, Platform>();
  for (const part of text.split(",")) {
    if (part.trim() === "") continue;
    const platform = parsePlatform(part);
    found.set(formatPlatform(platform), platform);
  }
  return [...found.values()];
}

/** Formats a platform as `os/architecture[/variant]`, normalized and without the operating system's version. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = normalizePlatform(platform);
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/**
 * Lists the platforms whose images run on a machine, in the order in which containerd prefers them (platforms.Only of
 * github.com/containerd/platforms, which `platforms.Default` uses): `arm/v7` also runs v6 and v5, `amd64/v3` also v2, v1
 * and 386, `arm64` also 32-bit ARM, `arm64/v9` also `v8.5` and lower. The first is the platform itself.
 *
 * @returns normalized platforms, without the operating system's version
 */
export function listRunnablePlatforms(platform: Platform): Platform[] {
  const { os, architecture, variant } = normalizePlatform(platform);
  const own: Platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
  return [own, ...listFallbacks(architecture, variant).map((name) => parsePlatform(`${os}/${name}`))];
}

function listFallbacks(architecture: string, variant: string | undefined): string[] {
  const [major = 0, minor = 0] = /^v([0-9]{1,2}(?:\.[0-9])?)$/.exec(variant ?? "")?.[1]?.split(".").map(Number) ?? [];
  if (architecture === "amd64") return [...countDown(major - 1, 1).map((version) => `amd64/v${version}`), "386"];
  if (architecture === "arm") return countDown(major - 1, 5).map((version) => `arm/v${version}`);
  if (architecture !== "arm64" || variant !== undefined && major < 8) return [];
  const arm = countDown(8, 5).map((version) => `arm/v${version}`);
  // Arm v9.x has what v8.(x+5) has.
  const below = major === 9
    ? [
      ...countDown(minor - 1, 0).map((it) => `arm64/v9.${it}`),
      ...countDown(minor + 5, 0).map((it) => `arm64/v8.${it}`),
    ]
    : countDown(minor - 1, 0).map((it) => `arm64/v${major}.${it}`);
  return [...below, ...arm];
}

function countDown(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, from - to + 1) }, (_, i) => from - i);
}

/** Reports whether two platforms are the same after normalization. The operating system's version is ignored. */
export function isSamePlatform(a: Platform, b: Platform): boolean {
  return formatPlatform(a) === formatPlatform(b);
}

/** Reports whether an index entry is for no platform, as an attestation is (`unknown/unknown`). */
export function isUnknownPlatform(platform: Platform): boolean {
  return platform.os === "unknown" || platform.architecture === "unknown";
}
