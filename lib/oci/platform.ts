import { CorruptError } from "./error.ts";

/** A platform as an index names it (image specification, "Image Index", `platform`). */
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

// What an architecture means without a variant is not written: `arm64/v8` is `arm64`, `arm` is `arm/v7`.
const SILENT_VARIANTS: Readonly<Record<string, string>> = { amd64: "v1", arm64: "v8" };

/** Brings a platform into the one spelling that containerd uses (its `platforms.Normalize`). */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase() === "macos" ? "darwin" : platform.os.toLowerCase();
  const lower = platform.architecture.toLowerCase();
  const [architecture = lower, impliedVariant] = (ARCHITECTURES[lower] ?? lower).split("/");
  let variant: string | undefined = platform.variant?.toLowerCase() || impliedVariant;
  if (variant !== undefined && /^[0-9]+$/.test(variant)) variant = `v${variant}`;
  if (architecture === "arm" && variant === undefined) variant = "v7";
  if (variant === SILENT_VARIANTS[architecture]) variant = undefined;
  return {
    os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    ...(platform["os.version"] === undefined ? {} : { "os.version": platform["os.version"] }),
  };
}

/**
 * Reads `os/architecture[/variant]`; an architecture alone means linux.
 *
 * @throws {CorruptError} when it is not that
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

/** Reads a comma-separated list of platforms, each once, in the order given. */
export function parsePlatforms(text: string): Platform[] {
  const found = new Map<string, Platform>();
  for (const part of text.split(",")) {
    if (part.trim() === "") continue;
    const platform = parsePlatform(part);
    found.set(formatPlatform(platform), platform);
  }
  return [...found.values()];
}

/** `os/architecture[/variant]`, normalised; the operating system's version is left out. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = normalizePlatform(platform);
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/** Tells whether two platforms are the same one, however they are spelled. */
export function isSamePlatform(a: Platform, b: Platform): boolean {
  return formatPlatform(a) === formatPlatform(b);
}

/** Tells whether an entry of an index is for no platform: an attestation (`unknown/unknown`). */
export function isUnknownPlatform(platform: Platform): boolean {
  return platform.os === "unknown" || platform.architecture === "unknown";
}
