import type { ContentSource } from "../content/source.ts";
import { computeDigest, type Digest, splitDigest } from "../oci/digest.ts";
import { type Descriptor, isIndexType, type Manifest, parseManifest, successorsOf } from "../oci/manifest.ts";
import { formatPlatform, isUnknownPlatform } from "../oci/platform.ts";
import { formatReference, parseReference, type Reference, repositoryOf } from "../oci/reference.ts";
import type { UpstreamSource } from "../upstream/upstream_source.ts";
import { adviseOn } from "./advice.ts";
import { type Finding, reasonOf } from "./finding.ts";

/** Where an image is looked for. */
export interface TraceSources {
  readonly store: ContentSource;
  /** Absent: no upstream is asked. */
  readonly upstream?: Pick<UpstreamSource, "allows" | "headManifest" | "readManifest" | "statBlob"> | undefined;
}

/** One manifest or blob of an image, and where it is. */
export interface TracedContent {
  readonly type: "index" | "manifest" | "blob";
  readonly digest: Digest;
  readonly size: number;
  /** The platforms that need it. */
  readonly platforms: readonly string[];
  readonly isHere: boolean;
  /** Whether the upstream has it; absent where it was not asked, or did not answer. */
  readonly isThere?: boolean;
}

/** All that was found out about an image. */
export interface ImageTrace {
  readonly findings: readonly Finding[];
  /** `docker.io/library/nginx:latest` */
  readonly reference?: string;
  readonly digest?: Digest;
  readonly platforms?: readonly string[];
  readonly content?: readonly TracedContent[];
}

/** A blob that manifests name, and the platforms of those. */
interface NamedBlob {
  readonly descriptor: Descriptor;
  readonly platforms: Set<string>;
}

const BLOBS_AT_A_TIME = 4;
const MAX_NESTING = 8;
const BRING_IT = "pull the image where there is a network, or import a bundle that has it";

/** Follows an image from its name to its last blob, without storing anything, and names the first step that fails. */
export async function traceImage(text: string, sources: TraceSources): Promise<ImageTrace> {
  let reference: Reference;
  try {
    reference = withTag(parseReference(text));
  } catch (error) {
    const advice = "write it like docker.io/library/nginx:1.27";
    return { findings: [{ step: "name", status: "broken", message: reasonOf(error), advice }] };
  }
  const trace = new Trace(reference, sources);
  try {
    return await trace.run();
  } catch (error) {
    const advice = "crpe verify names what is broken in the store; look at the data folder's rights";
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
    if (this.#upstream !== undefined) this.#find("upstream", "ok", `${host} may be asked`);
    else if (upstream === undefined) this.#find("upstream", "skipped", `${host} is not asked (offline)`);
    else {this.#find(
        "upstream",
        "warning",
        `${host} may not be asked: only what is held is served`,
        `allow it with --upstream ${host}`,
      );}
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

  /** What the tag or digest stands for. */
  async #resolve(): Promise<Descriptor | undefined> {
    const { tag, digest, host } = this.#reference;
    const wanted = digest ?? tag!;
    const step = digest === undefined ? "tag" : "digest";
    const held = await this.#store.resolve(this.#repo, wanted);
    const { answer: found, failure } = await this.#ask(() => this.#upstream!.headManifest(this.#repo, wanted));
    const here = held === undefined ? "it is not held" : `${short(held.digest)} is held`;
    if (failure !== undefined) {
      const status = held === undefined ? "broken" : "warning";
      this.#find(step, status, `${here}; asking ${host} failed: ${failure}`, adviseOn(failure));
    } else if (found !== undefined) {
      const isSame = held?.digest === found.digest;
      const there = isSame ? `as ${host} says` : `${host} says ${short(found.digest)}, which the next pull brings`;
      this.#find(step, "ok", `${here}, ${there}`);
    } else if (held !== undefined) {
      const isGone = this.#upstream !== undefined;
      this.#find(step, isGone ? "warning" : "ok", isGone ? `${here}; ${host} does not have it any more` : here);
    } else {
      const there = this.#upstream === undefined ? "" : `, and ${host} does not have it`;
      const advice = `check the name and the ${step}; import a bundle with the image, or let its registry be asked`;
      this.#find(step, "broken", `${here}${there}`, advice);
    }
    return found ?? held;
  }

  /** Reads an index and the manifests below it. @returns whether there is one whose blobs can be looked for */
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
          this.#find("manifest", "broken", manifest, BRING_IT);
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
          queue.push({ descriptor: child, depth: depth + 1, ...(name === undefined ? {} : { platform: name }) });
        }
      }
    }
    const many = `${read} ${read === 1 ? "manifest" : "manifests"} can be read`;
    // A bundle carries only the platforms that were chosen.
    if (missing.length > 0 && images > 0) this.#find("manifest", "warning", `${many}; not ${missing.join("; not ")}`);
    else if (missing.length > 0) this.#find("manifest", "broken", missing.join("; "), BRING_IT);
    else this.#find("manifest", "ok", many);
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
    if (bytes === undefined) return asked.failure ?? `its manifest ${short(digest)} is nowhere to be had`;
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
    const queue = [...blobs.entries()];
    const work = async () => {
      for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) {
        const [i, blob] = entry;
        const { failure, ...content } = await this.#statBlob(blob);
        traced[i] = content;
        if (failure !== undefined) failures.push(failure);
      }
    };
    await Promise.all(Array.from({ length: BLOBS_AT_A_TIME }, work));
    this.#content.push(...traced);
    const here = traced.filter(({ isHere }) => isHere).length;
    const there = traced.filter(({ isHere, isThere }) => !isHere && isThere).length;
    const counts = `${here} of ${traced.length} are here${there === 0 ? "" : `, ${there} more at the upstream`}`;
    if (failures.length === 0) return this.#find("blobs", "ok", counts);
    // Platforms that nobody has chosen may lack theirs, if one is whole.
    const lacking = traced.filter(({ isHere, isThere }) => !isHere && isThere !== true);
    const lackingPlatforms = new Set(lacking.flatMap(({ platforms }) => platforms));
    const whole = new Set(traced.flatMap(({ platforms }) => platforms)).difference(lackingPlatforms);
    const reason = failures.slice(0, 3).join("; ") + (failures.length > 3 ? `; and ${failures.length - 3} more` : "");
    if (whole.size > 0) this.#find("blobs", "warning", `${counts}; whole for ${[...whole].join(", ")}; ${reason}`);
    else this.#find("blobs", "broken", `${counts}; ${reason}`, BRING_IT);
  }

  async #statBlob({ descriptor, platforms }: NamedBlob): Promise<TracedContent & { readonly failure?: string }> {
    const { digest, size } = descriptor;
    const content = { type: "blob" as const, digest, size, platforms: [...platforms] };
    const held = await this.#store.statBlob(this.#repo, digest);
    if (held === size) return { ...content, isHere: true };
    const here = held === undefined ? "is nowhere to be had" : `has ${held} bytes here, not ${size}`;
    if (this.#upstream === undefined) return { ...content, isHere: false, failure: `${short(digest)} ${here}` };
    const { answer, failure } = await this.#ask(() => this.#upstream!.statBlob(this.#repo, digest));
    if (failure !== undefined) return { ...content, isHere: false, failure: `${short(digest)}: ${failure}` };
    if (answer === size) return { ...content, isHere: false, isThere: true };
    const there = answer === undefined ? here : `has ${answer} bytes at the upstream, not ${size}`;
    return { ...content, isHere: false, isThere: false, failure: `${short(digest)} ${there}` };
  }

  async #ask<T>(ask: () => Promise<T | undefined>): Promise<{ answer?: T | undefined; failure?: string }> {
    if (this.#upstream === undefined) return {};
    try {
      return { answer: await ask() };
    } catch (error) {
      return { failure: reasonOf(error) };
    }
  }

  #find(step: string, status: Finding["status"], message: string, advice?: string): void {
    this.findings.push({ step, status, message, ...(advice === undefined ? {} : { advice }) });
  }
}

// As docker does: a name alone means its `latest`.
function withTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined ? { ...reference, tag: "latest" } : reference;
}

function short(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${algorithm}:${hex.slice(0, 12)}`;
}
