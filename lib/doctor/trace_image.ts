import { runBounded } from "../content/bounded_tasks.ts";
import type { ContentSource } from "../content/source.ts";
import { computeDigest, type Digest, splitDigest } from "../oci/digest.ts";
import { type Descriptor, isIndexType, type Manifest, parseManifest, successorsOf } from "../oci/manifest.ts";
import { formatPlatform, isUnknownPlatform } from "../oci/platform.ts";
import { formatReference, parseReference, type Reference, repositoryOf, withDefaultTag } from "../oci/reference.ts";
import type { UpstreamSource } from "../upstream/upstream_source.ts";
import { adviseOn } from "./advice.ts";
import { type Finding, type FindingStatus, reasonOf } from "./finding.ts";

/** Where an image is searched. */
interface TraceSources {
  readonly store: ContentSource;
  /** The upstream; absent when none may be contacted. */
  readonly upstream?: Pick<UpstreamSource, "allows" | "headManifest" | "readManifest" | "statBlob"> | undefined;
}

/** One manifest or blob of an image, and its location. */
interface TracedContent {
  readonly type: "index" | "manifest" | "blob";
  readonly digest: Digest;
  readonly size: number;
  /** The platforms that need it. */
  readonly platforms: readonly string[];
  /** Whether the store has it. */
  readonly isHere: boolean;
  /** Whether the upstream has it; absent when it was not asked or did not answer. */
  readonly isThere?: boolean;
}

/** The result of tracing an image. */
export interface ImageTrace {
  readonly findings: readonly Finding[];
  /** `docker.io/library/nginx:latest` */
  readonly reference?: string;
  readonly digest?: Digest;
  readonly platforms?: readonly string[];
  readonly content?: readonly TracedContent[];
}

/** A blob, and the platforms of the manifests that refer to it. */
interface NamedBlob {
  readonly descriptor: Descriptor;
  readonly platforms: Set<string>;
}

/** An answer of the upstream, or why there is none, and what to do about it. */
interface Asked<T> {
  readonly answer?: T | undefined;
  readonly failure?: string;
  readonly advice?: string;
}

const BLOBS_AT_A_TIME = 4;
const MAX_NESTING = 8;
const OTHER_PLATFORMS = "nothing, unless the other platforms are needed; then pull the image with --platform";
const OBTAIN_IT = "pull the image on a machine with a network, or import a bundle that contains it";

/** Traces an image from its name to its last blob, without storing anything, and reports each step. */
export async function traceImage(text: string, sources: TraceSources): Promise<ImageTrace> {
  let reference: Reference;
  try {
    reference = withDefaultTag(parseReference(text));
  } catch (error) {
    const advice = "write a name such as docker.io/library/nginx:1.27";
    return { findings: [{ step: "name", status: "broken", message: reasonOf(error), advice }] };
  }
  const trace = new Trace(reference, sources);
  try {
    return await trace.run();
  } catch (error) {
    const advice = "run crpe verify to find what is broken in the store; check the access rights of the data folder";
    const broken: Finding = { step: "store", status: "broken", message: reasonOf(error), advice };
    return { findings: [...trace.findings, broken], reference: formatReference(reference) };
  }
}

class Trace {
  readonly #reference: Reference;
  readonly #repo: string;
  readonly #store: ContentSource;
  readonly #upstream: TraceSources["upstream"];
  readonly findings: Finding[] = [];
  readonly #content: TracedContent[] = [];

  constructor(reference: Reference, { store, upstream }: TraceSources) {
    this.#reference = reference;
    this.#repo = repositoryOf(reference);
    this.#store = store;
    this.#upstream = upstream?.allows(this.#repo) ? upstream : undefined;
    this.#find("name", "ok", `it means ${formatReference(reference)}`);
    const { host } = reference;
    if (this.#upstream !== undefined) this.#find("upstream", "ok", `${host} may be contacted`);
    else if (upstream === undefined) this.#find("upstream", "skipped", `${host} is not contacted (offline)`);
    else {
      this.#find("upstream", "warning", {
        message: `${host} may not be contacted: only content in the store is served`,
        advice: `allow it with --upstream ${host}`,
      });
    }
  }

  async run(): Promise<ImageTrace> {
    const reference = formatReference(this.#reference);
    const root = await this.#resolve();
    if (root === undefined) return { findings: this.findings, reference };
    const blobs = new Map<Digest, NamedBlob>();
    const platforms: string[] = [];
    if (await this.#readManifests(root, { blobs, platforms })) {
      const many = platforms.length === 0 ? "it names no platform" : `it is for ${platforms.join(", ")}`;
      this.#find("platforms", "ok", many);
      await this.#statAll([...blobs.values()]);
    }
    return { findings: this.findings, reference, digest: root.digest, platforms, content: this.#content };
  }

  /** Resolves the tag or digest, at the upstream or else in the store. */
  async #resolve(): Promise<Descriptor | undefined> {
    const { tag, digest, host } = this.#reference;
    const wanted = digest ?? tag!;
    const step = digest === undefined ? "tag" : "digest";
    const held = await this.#store.resolve(this.#repo, wanted);
    const { answer: found, failure, advice } = await this.#ask(() => this.#upstream!.headManifest(this.#repo, wanted));
    const here = held === undefined ? "it is not in the store" : `the store has ${short(held.digest)}`;
    if (failure !== undefined) {
      const status = held === undefined ? "broken" : "warning";
      this.#find(step, status, { message: `${here}; asking ${host} failed: ${failure}`, advice: advice! });
    } else if (found !== undefined) {
      const isSame = held?.digest === found.digest;
      const there = isSame ? `the same as ${host}` : `${host} has ${short(found.digest)}, which the next pull fetches`;
      this.#find(step, "ok", `${here}, ${there}`);
    } else if (held !== undefined) {
      const isGone = this.#upstream !== undefined;
      if (!isGone) this.#find(step, "ok", here);
      else {
        this.#find(step, "warning", {
          message: `${here}; ${host} no longer has it`,
          advice: "protect it with crpe images pin, or use another tag",
        });
      }
    } else {
      const there = this.#upstream === undefined ? "" : `, and ${host} does not have it`;
      const advice =
        `check the name and the ${step}; import a bundle with the image, or allow its registry with --upstream`;
      this.#find(step, "broken", { message: `${here}${there}`, advice });
    }
    return found ?? held;
  }

  /** Reads an index and the manifests below it. @returns whether there is a manifest whose blobs can be checked */
  async #readManifests(
    root: Descriptor,
    into: { blobs: Map<Digest, NamedBlob>; platforms: string[] },
  ): Promise<boolean> {
    const queue: { descriptor: Descriptor; depth: number; platform?: string }[] = [{ descriptor: root, depth: 0 }];
    const missing: string[] = [];
    let [read, images] = [0, 0];
    for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) {
      const { descriptor, depth, platform } = entry;
      const manifest = await this.#readManifest(descriptor, platform);
      if (typeof manifest === "string") {
        if (depth === 0) {
          this.#find("manifest", "broken", { message: manifest, advice: OBTAIN_IT });
          return false;
        }
        missing.push(`${platform ?? short(descriptor.digest)}: ${manifest}`);
        continue;
      }
      read++;
      if (manifest.kind !== "index" && (depth === 0 || platform !== undefined)) images++;
      for (const child of successorsOf(manifest)) {
        if (manifest.kind !== "index") {
          const blob = into.blobs.get(child.digest) ?? { descriptor: child, platforms: new Set() };
          if (platform !== undefined) blob.platforms.add(platform);
          into.blobs.set(child.digest, blob);
        } else if (depth < MAX_NESTING) {
          const isPlatform = child.platform !== undefined && !isUnknownPlatform(child.platform);
          const name = isPlatform ? formatPlatform(child.platform!) : platform;
          if (isPlatform && !isIndexType(child.mediaType)) into.platforms.push(name!);
          queue.push({ descriptor: child, depth: depth + 1, platform: name });
        }
      }
    }
    const many = `${read} ${read === 1 ? "manifest" : "manifests"} can be read`;
    // A bundle contains only the chosen platforms, so missing manifests are a warning if one image can be read.
    if (missing.length > 0 && images > 0) {
      this.#find("manifest", "warning", { message: `${many}; not ${missing.join("; not ")}`, advice: OTHER_PLATFORMS });
    } else if (missing.length > 0) {
      this.#find("manifest", "broken", { message: missing.join("; "), advice: OBTAIN_IT });
    } else this.#find("manifest", "ok", many);
    return images > 0 || missing.length === 0;
  }

  async #readManifest(descriptor: Descriptor, platform: string | undefined): Promise<Manifest | string> {
    const { digest, mediaType } = descriptor;
    const held = await this.#store.readManifest(this.#repo, digest);
    const asked = held === undefined ? await this.#ask(() => this.#upstream!.readManifest(this.#repo, digest)) : {};
    const bytes = held ?? asked.answer;
    this.#content.push({
      type: isIndexType(mediaType) ? "index" : "manifest",
      digest,
      size: descriptor.size,
      platforms: platform === undefined ? [] : [platform],
      isHere: held !== undefined,
      ...(held === undefined && asked.failure === undefined && this.#upstream !== undefined
        ? { isThere: bytes !== undefined }
        : {}),
    });
    if (bytes === undefined) return asked.failure ?? `its manifest ${short(digest)} is not available`;
    try {
      if (computeDigest(bytes, splitDigest(digest).algorithm) !== digest) return `${short(digest)} has another digest`;
      return parseManifest(bytes, mediaType);
    } catch (error) {
      return reasonOf(error);
    }
  }

  async #statAll(blobs: readonly NamedBlob[]): Promise<void> {
    const failures: string[] = [];
    const traced: TracedContent[] = [];
    await runBounded(blobs.entries(), BLOBS_AT_A_TIME, async ([i, blob]) => {
      const { failure, ...content } = await this.#statBlob(blob);
      traced[i] = content;
      if (failure !== undefined) failures.push(failure);
    });
    this.#content.push(...traced);
    const here = traced.filter(({ isHere }) => isHere).length;
    const there = traced.filter(({ isHere, isThere }) => !isHere && isThere).length;
    const counts = `${here} of ${traced.length} are in the store${
      there === 0 ? "" : `, ${there} more at the upstream`
    }`;
    if (failures.length === 0) return this.#find("blobs", "ok", counts);
    // Blobs of platforms that were not chosen may be missing: it is a warning if one platform is complete.
    const missing = traced.filter(({ isHere, isThere }) => !isHere && isThere !== true);
    const incomplete = new Set(missing.flatMap(({ platforms }) => platforms));
    const complete = new Set(traced.flatMap(({ platforms }) => platforms)).difference(incomplete);
    const reason = failures.slice(0, 3).join("; ") + (failures.length > 3 ? `; and ${failures.length - 3} more` : "");
    if (complete.size > 0) {
      this.#find("blobs", "warning", {
        message: `${counts}; complete for ${[...complete].join(", ")}; ${reason}`,
        advice: OTHER_PLATFORMS,
      });
    } else {
      this.#find("blobs", "broken", { message: `${counts}; ${reason}`, advice: OBTAIN_IT });
    }
  }

  async #statBlob({ descriptor, platforms }: NamedBlob): Promise<TracedContent & { readonly failure?: string }> {
    const { digest, size } = descriptor;
    const content = { type: "blob" as const, digest, size, platforms: [...platforms] };
    const held = await this.#store.statBlob(this.#repo, digest);
    if (held === size) return { ...content, isHere: true };
    const here = held === undefined ? "is not available" : `has ${held} bytes in the store, not ${size}`;
    if (this.#upstream === undefined) return { ...content, isHere: false, failure: `${short(digest)} ${here}` };
    const { answer, failure } = await this.#ask(() => this.#upstream!.statBlob(this.#repo, digest));
    if (failure !== undefined) return { ...content, isHere: false, failure: `${short(digest)}: ${failure}` };
    if (answer === size) return { ...content, isHere: false, isThere: true };
    const there = answer === undefined ? here : `has ${answer} bytes at the upstream, not ${size}`;
    return { ...content, isHere: false, isThere: false, failure: `${short(digest)} ${there}` };
  }

  async #ask<T>(ask: () => Promise<T | undefined>): Promise<Asked<T>> {
    if (this.#upstream === undefined) return {};
    try {
      return { answer: await ask() };
    } catch (error) {
      return { failure: reasonOf(error), advice: adviseOn(error) };
    }
  }

  #find(step: string, status: FindingStatus, result: string | Pick<Finding, "message" | "advice">): void {
    this.findings.push({ step, status, ...(typeof result === "string" ? { message: result } : result) });
  }
}

function short(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${algorithm}:${hex.slice(0, 12)}`;
}
