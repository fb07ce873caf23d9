import type { ContentCatalog, ContentSource } from "../content/source.ts";
import { cosignTagsOf } from "../oci/cosign_tag.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError, RegistryError } from "../oci/error.ts";
import { isManifestType, parseManifest } from "../oci/manifest.ts";
import { formatReference, type Reference, repositoryOf } from "../oci/reference.ts";
import type { CarriedManifest, CarriedReferrer, ResolvedImage } from "./bundle_plan.ts";
import { ImageNotFoundError, ImageResolver } from "./resolve_image.ts";

/** Options of a `ReferrerFinder`. */
export interface ReferrerFinderOptions {
  readonly source: ContentSource;
  readonly catalog: Pick<ContentCatalog, "listReferrers">;
  /** The digests of the referrers to take; by default all that are found. */
  readonly only?: Pick<ReadonlySet<Digest>, "has"> | undefined;
  /** The registries that could not be asked, and why. They are not asked again, since each attempt takes time. */
  readonly failed?: Map<string, string>;
}

/** The referrers of an image. */
interface FoundReferrers {
  readonly referrers: readonly CarriedReferrer[];
  /** What was left out, and why; a sentence each, without the name of the image. */
  readonly problems: readonly string[];
}

/** A possible referrer. */
interface Candidate {
  readonly digest: Digest;
  readonly tag?: string;
}

/** A manifest whose referrers are looked up; `depth` is 0 for those of the image. */
interface Subject {
  readonly digest: Digest;
  readonly depth: number;
}

/** The search for the referrers of one image. */
interface Search {
  readonly reference: Reference;
  readonly found: CarriedReferrer[];
  readonly problems: string[];
  /** What was found, and the manifests of the image: each digest is looked at once. */
  readonly seen: Map<Digest, CarriedManifest>;
  /** The size of what was found, in bytes. */
  bytes: number;
}

/** Most referrers of an image. */
const MAX_REFERRERS = 1000;
/** Referrers of referrers of referrers are the last ones that are looked up. */
const MAX_DEPTH = 3;
/** Largest size of all referrers of an image, in bytes. */
const MAX_BYTES = 1024 * 1024 * 1024;
/** Largest size of the manifests of all referrers of a package, in bytes. They are kept in memory. */
const MAX_MANIFESTS = 16 * 1024 * 1024;
const MAX_PROBLEMS = 20;

/**
 * Finds what is attached to images: manifests with a `subject` (distribution specification, "Listing Referrers"), and
 * those under the tags of cosign. A referrer that cannot be carried is left out and reported: it must not keep the image
 * from being packed.
 */
export class ReferrerFinder {
  readonly #options: ReferrerFinderOptions;
  readonly #failed: Map<string, string>;
  /** The bytes of the manifests of all referrers that were found. */
  readonly manifests = new Map<Digest, Uint8Array>();
  #manifestBytes = 0;

  constructor(options: ReferrerFinderOptions) {
    this.#options = options;
    this.#failed = options.failed ?? new Map();
  }

  /** Finds the referrers of an image: those of its index and of the manifests that are carried of it. */
  async find({ reference, root }: ResolvedImage): Promise<FoundReferrers> {
    const { host, path } = reference;
    const search: Search = { reference: { host, path }, found: [], problems: [], seen: new Map(), bytes: 0 };
    const subjects: Subject[] = [];
    for (const manifest of listManifests(root)) {
      search.seen.set(manifest.descriptor.digest, manifest);
      subjects.push({ digest: manifest.descriptor.digest, depth: 0 });
    }
    // The list grows while it is read.
    for (const subject of subjects) {
      if (this.#failed.has(host)) break;
      for (const candidate of await this.#list(subject.digest, search)) {
        if (search.found.length >= MAX_REFERRERS) {
          search.problems.push(`it has more than ${MAX_REFERRERS} referrers: the others are left out`);
          return describe(search);
        }
        const isNew = !search.seen.has(candidate.digest);
        if (!await this.#add(candidate, subject, search)) continue;
        if (isNew && subject.depth + 1 < MAX_DEPTH) {
          subjects.push({ digest: candidate.digest, depth: subject.depth + 1 });
        }
      }
    }
    const failure = this.#failed.get(host);
    if (failure !== undefined) search.problems.push(failure);
    return describe(search);
  }

  async #list(subject: Digest, { reference }: Search): Promise<Candidate[]> {
    const { source, catalog, only } = this.#options;
    const repository = repositoryOf(reference);
    const tags = cosignTagsOf(subject);
    const [listed, ...tagged] = await Promise.allSettled([
      catalog.listReferrers(repository, subject),
      ...tags.map((tag) => source.resolve(repository, tag)),
    ]);
    const fail = (reason: string) => this.#failed.set(reference.host, `its referrers may be incomplete: ${reason}`);
    const candidates: Candidate[] = [];
    if (listed.status === "fulfilled") {
      candidates.push(...listed.value.referrers.map(({ digest }) => ({ digest })));
      if (listed.value.isPartial) fail("its registry failed");
    }
    for (const [i, result] of tagged.entries()) {
      if (result.status === "fulfilled" && result.value) {
        candidates.push({ digest: result.value.digest, tag: tags[i]! });
      }
    }
    for (const result of [listed, ...tagged]) {
      if (result.status === "fulfilled") continue;
      const error: unknown = result.reason;
      if (!(error instanceof RegistryError || error instanceof CorruptError)) throw error;
      fail(error.message);
    }
    // In the order of their digests, so that the bundle does not depend on that of the registry.
    return candidates.filter(({ digest }) => only?.has(digest) ?? true)
      .sort((a, b) => a.digest < b.digest ? -1 : a.digest > b.digest ? 1 : 0);
  }

  /** Adds a candidate to what was found. @returns whether it is a referrer of the subject */
  async #add({ digest, tag }: Candidate, { digest: subject }: Subject, search: Search): Promise<boolean> {
    const known = search.seen.get(digest);
    // A referrer may have several tags. A tag may also lead back to the image.
    if (known !== undefined) {
      if (tag === undefined || !search.found.some(({ root }) => root === known)) return false;
      search.found.push({ root: known, subject, tag });
      return true;
    }
    const leaveOut = (reason: string) => {
      search.problems.push(`its referrer ${digest} is left out: ${reason}`);
      return false;
    };
    const read = await this.#read(digest, search.reference);
    if (typeof read === "string") return leaveOut(read);
    const { root, manifests } = read;
    if (tag === undefined && parseManifest(manifests.get(root.descriptor.digest)!).subject?.digest !== subject) {
      return leaveOut("its manifest names another subject");
    }
    const own = [...listManifests(root)];
    const size = own.flatMap(({ descriptor, blobs }) => [descriptor, ...blobs]).reduce((sum, it) => sum + it.size, 0);
    const inManifests = own.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
    if (search.bytes + size > MAX_BYTES) return leaveOut(`the referrers would have more than ${MAX_BYTES} bytes`);
    if (this.#manifestBytes + inManifests > MAX_MANIFESTS) {
      return leaveOut(`the manifests of referrers would have more than ${MAX_MANIFESTS} bytes`);
    }
    search.bytes += size;
    this.#manifestBytes += inManifests;
    for (const { descriptor } of own) {
      this.manifests.set(descriptor.digest, manifests.get(descriptor.digest)!);
    }
    search.seen.set(digest, root);
    search.found.push({ root, subject, tag });
    return true;
  }

  /** Reads a manifest with all that it needs. @returns why it cannot be carried, if it cannot */
  async #read(
    digest: Digest,
    reference: Reference,
  ): Promise<{ readonly root: CarriedManifest; readonly manifests: ReadonlyMap<Digest, Uint8Array> } | string> {
    const { source } = this.#options;
    const resolver = new ImageResolver(source, { platforms: "all", isNamed: false });
    const repository = repositoryOf(reference);
    try {
      const { root } = await resolver.resolve({
        name: formatReference({ ...reference, digest }),
        reference: { ...reference, digest },
        digest,
      });
      if (!isManifestType(root.descriptor.mediaType)) return "it is not a manifest";
      for (const { blobs } of listManifests(root)) {
        for (const blob of blobs) {
          const size = await source.statBlob(repository, blob.digest);
          if (size === undefined) return `its blob ${blob.digest} was not found`;
          if (size !== blob.size) return `its blob ${blob.digest} has ${size} bytes, not ${blob.size}`;
        }
      }
      return { root, manifests: resolver.manifests };
    } catch (error) {
      if (error instanceof ImageNotFoundError) return error.reason;
      if (error instanceof RegistryError || error instanceof CorruptError) return error.message;
      throw error;
    }
  }
}

function* listManifests(manifest: CarriedManifest): Generator<CarriedManifest> {
  yield manifest;
  for (const child of manifest.children) yield* listManifests(child);
}

function describe({ found, problems }: Search): FoundReferrers {
  const more = problems.length - MAX_PROBLEMS;
  const shown = more > 0 ? [...problems.slice(0, MAX_PROBLEMS), `${more} other referrers are left out`] : problems;
  return { referrers: found, problems: shown };
}
