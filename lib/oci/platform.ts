import { CorruptError } from "./error.ts";

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

const OPERATING_SYSTEMS = new Set(["darwin", "freebsd", "linux", "macos", "windows"]);

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
  if (variant === DEFAULT_VARIANTS[architecture]) variant = undefined;
  return {
    os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    ...(platform["os.version"] === undefined ? {} : { "os.version": platform["os.version"] }),
  };
}

/**
 * Parses `os/architecture[/variant]`; an architecture alone means linux.
 *
 * @throws {CorruptError} when `text` does not have that form
 */
export function parsePlatform(text: string): Platform {
  const parts = text.trim().split("/");
  const isOsAlone = parts.length === 1 && OPERATING_SYSTEMS.has(parts[0]!.toLowerCase());
  if (parts.length > 3 || isOsAlone || !parts.every((part) => /^[A-Za-z0-9._-]+$/.test(part))) {
    throw new CorruptError(`Cannot use platform ${JSON.stringify(text)}: write it like linux/arm64 or linux/arm/v7`);
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

/** Reports whether two platforms are the same after normalization. The operating system's version is ignored. */
export function isSamePlatform(a: Platform, b: Platform): boolean {
  return formatPlatform(a) === formatPlatform(b);
}

/** Reports whether an index entry is for no platform, as an attestation is (`unknown/unknown`). */
export function isUnknownPlatform(platform: Platform): boolean {
  return platform.os === "unknown" || platform.architecture === "unknown";
}
