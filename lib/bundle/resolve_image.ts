import { readSmallBlob } from "../content/read_small_blob.ts";
import type { ContentSource } from "../content/source.ts";
import { verifyBytes } from "../content/verifier.ts";
import type { PackageImage } from "../kubepkg/images_of.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { type Descriptor, isIndexType, type Manifest, parseManifest, successorsOf } from "../oci/manifest.ts";
import {
  formatPlatform,
  isSamePlatform,
  isUnknownPlatform,
  normalizePlatform,
  type Platform,
} from "../oci/platform.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import type { CarriedManifest, ResolvedImage } from "./bundle_plan.ts";

/** The platforms of an image to select. */
export interface PlatformChoice {
  readonly platforms: readonly Platform[] | "all";
  /** Whether the platforms were requested by name, so that each must exist. Otherwise one of them is enough. */
  readonly isNamed: boolean;
}

/** Largest config that is read to find an image's platform, in bytes. */
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
/** Deepest nesting of indexes. */
const MAX_NESTING = 8;
const ADVICE = "crpe doctor IMAGE shows where crpe looked";
const WHERE = `in the store or at an allowed upstream; ${ADVICE}`;
const IMAGE_CONFIG_TYPES = new Set([
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
]);

/** Resolves images to the content that has to be carried. Reads manifests and, where necessary, configs. */
export class ImageResolver {
  readonly #source: ContentSource;
  readonly #choice: PlatformChoice;
  readonly #action: string;
  /** The bytes of all manifests that were read. They are few and small. */
  readonly manifests = new Map<Digest, Uint8Array>();

  /** @param action the verb in errors: `Cannot pack …` */
  constructor(source: ContentSource, choice: PlatformChoice, action = "pack") {
    this.#source = source;
    this.#choice = choice;
    this.#action = action;
  }

  /**
   * Resolves an image to its manifests and blobs for the selected platforms.
   *
   * @throws {Error} when the image, or a platform requested by name, is missing
   * @throws {CorruptError} when a manifest is malformed
   */
  async resolve({ reference, digest }: PackageImage): Promise<ResolvedImage> {
    const name = formatReference(reference);
    const repository = repositoryOf(reference);
    const found = await this.#source.resolve(repository, digest ?? reference.tag ?? "latest");
    if (found === undefined) {
      const what = digest === undefined ? "the image" : digest;
      const why = await this.#source.explainMissing?.(repository, digest ?? reference.tag ?? "latest");
      const where = why === undefined ? WHERE : `(${why.reason}); ${ADVICE}`;
      throw new Error(`Cannot ${this.#action} ${name}: ${what} was not found ${where}`);
    }
    const root = await this.#survey({ ...found, digest: digest ?? found.digest }, { name, repository, depth: 0 });
    const carried = prune(root, this.#choose(name, root));
    if (carried === undefined) throw new Error(`Cannot ${this.#action} ${name}: its index has no usable manifests`);
    return { reference, root: carried };
  }

  // An index entry with a platform is read only when the platform is selected. Otherwise the upstream would have to serve
  // the manifests of platforms that are not needed.
  async #survey(descriptor: Descriptor, at: Place): Promise<Surveyed> {
    if (at.depth > MAX_NESTING) {
      throw new CorruptError(`Cannot ${this.#action} ${at.name}: its indexes are nested too deeply`);
    }
    const { bytes, manifest } = await this.#load(descriptor, at);
    const exact: Descriptor = { mediaType: manifest.mediaType, digest: descriptor.digest, size: bytes.length };
    if (manifest.kind === "manifest") {
      const platform = descriptor.platform ?? await this.#platformOfConfig(manifest.config, at);
      return { descriptor: exact, blobs: successorsOf(manifest), children: [], ...namePlatform(platform) };
    }
    const children: Surveyed[] = [];
    for (const child of manifest.manifests) {
      if (child.platform !== undefined && !isIndexType(child.mediaType) && !this.#wants(child.platform)) {
        children.push({ descriptor: child, blobs: [], children: [], ...namePlatform(child.platform) });
      } else children.push(await this.#survey(child, { ...at, depth: at.depth + 1 }));
    }
    return { descriptor: exact, blobs: [], children };
  }

  async #load(descriptor: Descriptor, { name, repository }: Place): Promise<{ bytes: Uint8Array; manifest: Manifest }> {
    const { digest, size, mediaType, platform } = descriptor;
    const bytes = this.manifests.get(digest) ?? await this.#source.readManifest(repository, digest);
    if (bytes === undefined) {
      const purpose = platform === undefined ? "" : ` for ${formatPlatform(platform)}`;
      throw new Error(`Cannot ${this.#action} ${name}: its manifest ${digest}${purpose} was not found ${WHERE}`);
    }
    verifyBytes(bytes, digest, size);
    this.manifests.set(digest, bytes);
    return { bytes, manifest: parseManifest(bytes, mediaType) };
  }

  async #platformOfConfig(config: Descriptor | undefined, { name, repository }: Place): Promise<Platform | undefined> {
    if (config === undefined || !IMAGE_CONFIG_TYPES.has(config.mediaType)) return undefined;
    const bytes = await readSmallBlob(this.#source, repository, { ...config, limit: MAX_CONFIG_BYTES });
    if (bytes === undefined) {
      throw new Error(`Cannot ${this.#action} ${name}: its config ${config.digest} was not found`);
    }
    const json = parseJson(bytes, `the config of ${name}`, { maxBytes: MAX_CONFIG_BYTES, maxDepth: 128 });
    if (!isJsonObject(json)) throw new CorruptError(`Cannot read the config of ${name}: it is not a JSON object`);
    const { os, architecture, variant } = json;
    if (typeof os !== "string" || typeof architecture !== "string" || os === "" || architecture === "") {
      return undefined;
    }
    return { os, architecture, ...(typeof variant === "string" && variant !== "" ? { variant } : {}) };
  }

  #wants(platform: Platform): boolean {
    const { platforms } = this.#choice;
    return platforms === "all" || platforms.some((wanted) => isSamePlatform(wanted, platform));
  }

  #choose(name: string, root: Surveyed): (leaf: Surveyed) => boolean {
    if (this.#choice.platforms === "all") return () => true;
    const requested = this.#choice.platforms.map(formatPlatform);
    const wants = (platform: string) => requested.includes(platform);
    const leaves = leavesOf(root);
    const available = new Set(leaves.filter((leaf) => !leaf.isUnknown).map((leaf) => leaf.platform).filter(isText));
    // An artifact has no platform: all of it is carried.
    if (available.size === 0) return ({ platform }) => platform === undefined || wants(platform);
    const unknown = leaves.filter((leaf) => leaf.isUnknown).map((leaf) => leaf.platform);
    const missing = requested.filter((platform) => !available.has(platform) && !unknown.includes(platform));
    if (this.#choice.isNamed ? missing.length > 0 : missing.length === requested.length) {
      throw new Error(
        `Cannot ${this.#action} ${name}: it is not available for ${missing.join(", ")}, only for ${
          [...available].sort().join(", ")
        }`,
      );
    }
    return ({ platform }) => platform !== undefined && wants(platform);
  }
}

interface Place {
  readonly name: string;
  readonly repository: string;
  readonly depth: number;
}

interface Surveyed {
  readonly descriptor: Descriptor;
  readonly platform?: string;
  /** Whether the platform is `unknown/unknown`, as that of an attestation. */
  readonly isUnknown?: boolean;
  readonly blobs: readonly Descriptor[];
  readonly children: readonly Surveyed[];
}

function namePlatform(platform: Platform | undefined): { platform?: string; isUnknown?: boolean } {
  if (platform === undefined) return {};
  return { platform: formatPlatform(platform), isUnknown: isUnknownPlatform(normalizePlatform(platform)) };
}

function leavesOf(node: Surveyed): Surveyed[] {
  return isIndexType(node.descriptor.mediaType) ? node.children.flatMap(leavesOf) : [node];
}

function prune(node: Surveyed, isWanted: (leaf: Surveyed) => boolean): CarriedManifest | undefined {
  const { descriptor, blobs, platform, isUnknown } = node;
  if (!isIndexType(descriptor.mediaType)) {
    if (!isWanted(node)) return undefined;
    return { descriptor, blobs, children: [], ...(platform === undefined || isUnknown ? {} : { platform }) };
  }
  const children = node.children.map((child) => prune(child, isWanted)).filter((child) => child !== undefined);
  return children.length === 0 ? undefined : { descriptor, blobs: [], children };
}

function isText(value: string | undefined): value is string {
  return value !== undefined;
}
