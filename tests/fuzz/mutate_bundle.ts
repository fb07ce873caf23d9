import { computeDigest, type Digest, isDigest, splitDigest } from "../../lib/oci/digest.ts";
import type { BundleSeed, BundleSeeds } from "./bundle_seeds.ts";
import { compress } from "./compress.ts";
import { mutateBytes } from "./mutate_bytes.ts";
import { mutateJson } from "./mutate_json.ts";
import { mutateTar } from "./mutate_tar.ts";
import { Random } from "../support/random.ts";
import { joinTar, makePart, type TarPart } from "./tar_parts.ts";

/** A mutated bundle, and the conditions of its import. */
export interface BundleCase {
  readonly seed: BundleSeed;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What was changed: the file, the tar, its entries, a document, or nothing. */
  readonly level: "none" | "file" | "tar" | "entries" | "document";
  /** The mutation in words. */
  readonly what: string;
  /** Whether a checksum covers everything: if it can be read at all, its content is that of the seed. */
  readonly isSealed: boolean;
  /** What is installed before: nothing, an earlier version, or the seed itself. */
  readonly before: "nothing" | "base" | "itself";
  readonly force: boolean;
  readonly freeBytes: number;
  /** Whether the good bundle is imported after a failure of this one. */
  readonly isRetried: boolean;
  /** The size of the chunks of its stream, in bytes. */
  readonly chunkBytes: number;
}

const ENDS = [0, 512, 1024, 1536, 10_240, 2 * 1024 * 1024];

/** Makes a case; the same seed and number give the same case. */
export function mutateBundle({ seeds }: BundleSeeds, seedNumber: number, number: number): BundleCase {
  const random = new Random(seedNumber, number);
  const seed = random.pick(seeds);
  const context = {
    seed,
    before: random.pick<BundleCase["before"]>(
      seed.needsBase ? ["base", "base", "base", "itself", "nothing"] : ["nothing", "nothing", "base", "itself"],
    ),
    force: random.chance(0.2),
    isRetried: new Random(seedNumber, number, 1).chance(0.1),
    freeBytes: random.chance(0.02) ? random.below(200_000) : 1_000_000_000,
    chunkBytes: random.pick([1 + random.below(700), 4096, 65_536, 1 << 20]),
  };
  const level = random.pick(
    [
      "none",
      ...Array(6).fill("file"),
      ...Array(4).fill("tar"),
      ...Array(6).fill("entries"),
      ...Array(7).fill("document"),
    ] as BundleCase["level"][],
  );
  const mutations: string[] = [];
  let parts = seed.parts;
  let end: Uint8Array<ArrayBuffer> | undefined;
  const times = random.chance(0.8) ? 1 : 2 + random.below(2);
  if (level === "document") {
    for (let i = 0; i < times; i++) {
      const mutated = mutateDocument(parts, random);
      mutations.push(mutated.what);
      parts = mutated.parts;
    }
  }
  if (level === "entries" || (level === "document" && random.chance(0.1))) {
    for (let i = 0; i < times; i++) {
      const mutated = mutateTar(parts, random);
      mutations.push(mutated.what);
      parts = mutated.parts;
    }
    if (random.chance(0.1)) {
      end = new Uint8Array(random.pick(ENDS));
      mutations.push(`an end of ${end.length} bytes`);
    }
  }
  let tar = joinTar(parts, end);
  if (level === "tar") {
    for (let i = 0; i < times; i++) {
      const mutated = mutateBytes(tar, random);
      mutations.push(mutated.what);
      tar = mutated.bytes;
    }
  }
  let bytes = seed.file !== undefined && (level === "file" || level === "none") && random.chance(0.7)
    ? seed.file
    : compress(tar, seed.compression, random);
  if (level === "file") {
    for (let i = 0; i < times; i++) {
      const mutated = mutateBytes(bytes, random);
      mutations.push(mutated.what);
      bytes = mutated.bytes;
    }
  }
  const isSealed = level === "none" || (level === "file" && seed.compression !== "none");
  return { ...context, bytes, level, isSealed, what: mutations.join(", ") || "nothing" };
}

// In most mutated blobs the digests that name them are updated as well. Otherwise the digest alone would reveal them.
function mutateDocument(parts: readonly TarPart[], random: Random): { parts: TarPart[]; what: string } {
  const documents = parts.filter(({ content }) => content[0] === 0x7b);
  const target = random.chance(0.5) ? documents[0] : random.pick(documents);
  if (target === undefined) return { parts: [...parts], what: "no document" };
  const text = new TextDecoder().decode(target.content);
  let mutated: { text: string; what: string };
  try {
    mutated = mutateJson(text, random);
  } catch {
    return { parts: [...parts], what: "a document that is no longer JSON" };
  }
  const content = new TextEncoder().encode(mutated.text);
  const isNamedByDigest = target.name.startsWith("blobs/");
  const what = `${isNamedByDigest ? "a blob" : target.name}: ${mutated.what}`;
  if (!isNamedByDigest || random.chance(0.3)) {
    return { what, parts: parts.map((part) => part === target ? makePart(part.name, content) : part) };
  }
  return { what: `${what}, digests updated`, parts: replaceBlob(parts, target, content) };
}

function replaceBlob(parts: readonly TarPart[], target: TarPart, content: Uint8Array<ArrayBuffer>): TarPart[] {
  const [, algorithm, hex] = target.name.split("/");
  const old = `${algorithm}:${hex}`;
  if (!isDigest(old)) return [...parts];
  const digest = computeDigest(content, splitDigest(old).algorithm);
  let all: TarPart[] = parts.map((part) => part === target ? makePart(nameOf(digest), content) : part);
  for (const { name } of parts) {
    const part = all.find((it) => it.name === name);
    if (part === undefined || part.content[0] !== 0x7b || name === nameOf(digest)) continue;
    const text = new TextDecoder().decode(part.content);
    if (!text.includes(old)) continue;
    const changed = new TextEncoder().encode(replaceDigest(text, old, { digest, size: content.length }));
    // The digest of a manifest that names it changes, too.
    all = name.startsWith("blobs/")
      ? replaceBlob(all, part, changed)
      : all.map((it) => it === part ? makePart(name, changed) : it);
  }
  return all;
}

function replaceDigest(text: string, old: string, now: { digest: Digest; size: number }): string {
  try {
    return JSON.stringify(JSON.parse(text, (_, value) => {
      if (value === old) return now.digest;
      return value?.digest === now.digest && typeof value.size === "number" ? { ...value, size: now.size } : value;
    }));
  } catch {
    return text.replaceAll(old, now.digest);
  }
}

function nameOf(digest: Digest): string {
  return `blobs/${digest.replace(":", "/")}`;
}
