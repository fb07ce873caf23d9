import { readSmallBlob } from "../content/read_small_blob.ts";
import type { ContentSource } from "../content/source.ts";
import { verifyBytes } from "../content/verifier.ts";
import type { LoadedManifest } from "../content/walk_image.ts";
import type { PackageImage } from "../kubepkg/images_of.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError, CrpeError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import {
  type Descriptor,
  foreignLayersOf,
  isIndexType,
  parseManifest,
  splitSuccessors,
  successorsOf,
} from "../oci/manifest.ts";
import {
  formatPlatform,
  isUnknownPlatform,
  listRunnablePlatforms,
  normalizePlatform,
  type Platform,
  platformOfConfig,
} from "../oci/platform.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import type { CarriedManifest, ResolvedImage } from "./bundle_plan.ts";
import { MAX_CONFIG_BYTES } from "./image_documents.ts";

/** The platforms of an image to select. */
export interface PlatformChoice {
  readonly platforms: readonly Platform[] | "all";
  /** Whether each platform must exist. Otherwise one of them is enough. */
  readonly isNamed: boolean;
  /**
   * Whether only these platforms count. Otherwise, a platform that the image does not have is replaced by the one that
   * containerd takes on such a machine: `linux/arm/v6` for `linux/arm/v7`.
   */
  readonly isExact?: boolean;
}

/** Deepest nesting of indexes. */
const MAX_NESTING = 8;
/**
 * Largest sum of an image's manifests and of the configs read for it, in bytes, where each counts as often as it is
 * listed. Indexes that list each other again and again would otherwise take time without end.
 */
const MAX_IMAGE_BYTES = 64 * 1024 * 1024;
const ADVICE = "crpe doctor IMAGE shows where crpe looked";
const WHERE = `in the store or at an allowed upstream; ${ADVICE}`;
const IMAGE_CONFIG_TYPES = new Set([
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
]);

/** An image, or a manifest of it, is neither in the store nor at its registry. */
export class ImageNotFoundError extends CrpeError {}

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
      throw new ImageNotFoundError(cannot(`${this.#action} ${name}`, `${what} was not found ${where}`));
    }
    const place: Place = { name, repository, depth: 0, budget: { bytes: MAX_IMAGE_BYTES }, absent: [] };
    const root = await this.#survey({ ...found, digest: digest ?? found.digest }, place);
    const { isWanted, ...choice } = this.#choose(name, root);
    const carried = await this.#carry(root, isWanted, place);
    if (carried === undefined) {
      const reason = "its index has no usable manifests";
      throw place.absent[0]?.error ?? new CrpeError(cannot(`${this.#action} ${name}`, reason));
    }
    const absent = place.absent.map(({ platform }) => platform).filter(isText);
    return { reference, root: carried, ...choice, absent: absent.length === 0 ? undefined : absent };
  }

  // A manifest whose index gives its platform is read only when it is chosen. Otherwise the upstream would have to serve
  // the manifests of platforms that are not needed.
  async #survey(descriptor: Descriptor, at: Place): Promise<Surveyed> {
    if (at.depth > MAX_NESTING) {
      throw new CorruptError(cannot(`${this.#action} ${at.name}`, "its indexes are nested too deeply"));
    }
    const loaded = await this.#load(descriptor, at);
    const { manifest } = loaded;
    if (manifest.kind === "manifest") {
      const platform = descriptor.platform ?? await this.#platformOfConfig(manifest.config, at);
      return { descriptor, loaded, children: [], ...namePlatform(platform) };
    }
    const children: Surveyed[] = [];
    for (const child of splitSuccessors(manifest).manifests) {
      children.push(
        child.platform !== undefined && !isIndexType(child.mediaType)
          ? { descriptor: child, children: [], ...namePlatform(child.platform) }
          : await this.#survey(child, { ...at, depth: at.depth + 1 }),
      );
    }
    return { descriptor, loaded, children };
  }

  async #carry(
    node: Surveyed,
    isWanted: (leaf: Surveyed) => boolean,
    at: Place,
  ): Promise<CarriedManifest | undefined> {
    const { descriptor: { digest }, platform, isUnknown } = node;
    const isLeaf = node.loaded?.manifest.kind !== "index";
    if (isLeaf && !isWanted(node)) return undefined;
    const loaded = node.loaded ?? await this.#loadChosen(node, at);
    if (loaded === undefined) return undefined;
    const { bytes, manifest } = loaded;
    const below = { ...at, depth: at.depth + 1 };
    // An index may be listed with the media type of an image.
    if (isLeaf && manifest.kind === "index") {
      return await this.#carry(await this.#survey(node.descriptor, below), isWanted, below);
    }
    const descriptor: Descriptor = { mediaType: manifest.mediaType, digest, size: bytes.length };
    if (isLeaf) {
      const foreignLayers = foreignLayersOf(manifest);
      return {
        descriptor,
        blobs: successorsOf(manifest),
        foreignLayers: foreignLayers.length === 0 ? undefined : foreignLayers,
        children: [],
        platform: isUnknown ? undefined : platform,
      };
    }
    const children: CarriedManifest[] = [];
    for (const child of node.children) {
      const carried = await this.#carry(child, isWanted, below);
      if (carried !== undefined) children.push(carried);
    }
    // An empty index, or one of blobs alone, is carried; one without a chosen manifest is not.
    if (children.length === 0 && node.children.length > 0) return undefined;
    return { descriptor, blobs: splitSuccessors(manifest).blobs, children };
  }

  // A partial copy of an image lists platforms that it does not hold. Where platforms are not named, one that is there is
  // enough.
  async #loadChosen({ descriptor, platform }: Surveyed, at: Place): Promise<LoadedManifest | undefined> {
    try {
      return await this.#load(descriptor, at);
    } catch (error) {
      const isRequired = this.#choice.isNamed || this.#choice.platforms === "all";
      if (isRequired || !(error instanceof ImageNotFoundError)) throw error;
      at.absent.push({ platform, error });
      return undefined;
    }
  }

  async #load(descriptor: Descriptor, at: Place): Promise<LoadedManifest> {
    const { name, repository } = at;
    const { digest, size, mediaType, platform } = descriptor;
    const bytes = this.manifests.get(digest) ?? await this.#source.readManifest(repository, digest);
    if (bytes === undefined) {
      const purpose = platform === undefined ? "" : ` for ${formatPlatform(platform)}`;
      throw new ImageNotFoundError(
        cannot(`${this.#action} ${name}`, `its manifest ${digest}${purpose} was not found ${WHERE}`),
      );
    }
    this.#spend(bytes.length, at);
    verifyBytes(bytes, digest, size);
    this.manifests.set(digest, bytes);
    return { bytes, manifest: parseManifest(bytes, mediaType) };
  }

  #spend(bytes: number, { name, budget }: Place): void {
    budget.bytes -= bytes;
    if (budget.bytes < 0) {
      throw new CorruptError(
        cannot(`${this.#action} ${name}`, "its indexes list too much, or the same again and again"),
      );
    }
  }

  async #platformOfConfig(config: Descriptor | undefined, at: Place): Promise<Platform | undefined> {
    if (config === undefined || !IMAGE_CONFIG_TYPES.has(config.mediaType)) return undefined;
    const { name, repository } = at;
    this.#spend(config.size, at);
    const bytes = await readSmallBlob(this.#source, repository, { ...config, limit: MAX_CONFIG_BYTES });
    if (bytes === undefined) {
      throw new ImageNotFoundError(cannot(`${this.#action} ${name}`, `its config ${config.digest} was not found`));
    }
    const json = parseJson(bytes, `the config of ${name}`, { maxBytes: MAX_CONFIG_BYTES, maxDepth: 128 });
    if (!isJsonObject(json)) throw new CorruptError(cannot(`read the config of ${name}`, "it is not a JSON object"));
    return platformOfConfig(json);
  }

  #choose(name: string, root: Surveyed): Chosen {
    const { platforms, isNamed, isExact } = this.#choice;
    if (platforms === "all") return { isWanted: () => true };
    const requested = platforms.map(formatPlatform);
    const leaves = leavesOf(root);
    const available = new Set(leaves.filter((leaf) => !leaf.isUnknown).map((leaf) => leaf.platform).filter(isText));
    // An artifact has no platform: all of it is carried.
    if (available.size === 0) {
      return { isWanted: ({ platform }) => platform === undefined || requested.includes(platform) };
    }
    const unknown = leaves.filter((leaf) => leaf.isUnknown).map((leaf) => leaf.platform);
    const taken = new Map(platforms.map((platform, i) => {
      const runnable = isExact ? [requested[i]!] : listRunnablePlatforms(platform).map(formatPlatform);
      return [requested[i]!, runnable.find((it) => available.has(it) || unknown.includes(it))];
    }));
    const missing = requested.filter((platform) => taken.get(platform) === undefined);
    if (isNamed ? missing.length > 0 : missing.length === requested.length) {
      throw new CrpeError(
        cannot(
          `${this.#action} ${name}`,
          `it is not available for ${missing.join(", ")}, only for ${[...available].sort().join(", ")}`,
        ),
      );
    }
    const wanted = new Set(taken.values());
    const substitutes = [...taken].flatMap(([platform, it]) => {
      return it === undefined || it === platform ? [] : [{ requested: platform, taken: it }];
    });
    return {
      isWanted: ({ platform }) => platform !== undefined && wanted.has(platform),
      substitutes: substitutes.length === 0 ? undefined : substitutes,
      missing: missing.length === 0 ? undefined : missing,
    };
  }
}

interface Place {
  readonly name: string;
  readonly repository: string;
  readonly depth: number;
  /** What may still be read for the image. Shared by all places of one image. */
  readonly budget: { bytes: number };
  /** What was chosen and is not there. Shared as well. */
  readonly absent: { readonly platform: string | undefined; readonly error: ImageNotFoundError }[];
}

interface Chosen extends Pick<ResolvedImage, "substitutes" | "missing"> {
  readonly isWanted: (leaf: Surveyed) => boolean;
}

interface Surveyed {
  /** As the index lists it. */
  readonly descriptor: Descriptor;
  /** Absent for a manifest that was not read yet. */
  readonly loaded?: LoadedManifest;
  readonly platform?: string;
  /** Whether the platform is `unknown/unknown`, as that of an attestation. */
  readonly isUnknown?: boolean;
  readonly children: readonly Surveyed[];
}

function namePlatform(platform: Platform | undefined): { platform?: string; isUnknown?: boolean } {
  if (platform === undefined) return {};
  return { platform: formatPlatform(platform), isUnknown: isUnknownPlatform(normalizePlatform(platform)) };
}

function leavesOf(node: Surveyed): Surveyed[] {
  return node.loaded?.manifest.kind === "index" ? node.children.flatMap(leavesOf) : [node];
}

function isText(value: string | undefined): value is string {
  return value !== undefined;
}
