import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { type ReferrerLine, referrersOf } from "../kubepkg/referrers_of.ts";
import { cosignTagsOf } from "../oci/cosign_tag.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { parseManifest } from "../oci/manifest.ts";
import { parseReference, repositoryOf } from "../oci/reference.ts";
import { type ImageGraph, type ImportedContent, readGraph, readImageGraph } from "./image_graph.ts";

/**
 * Reads the graphs of all images of a package, and of their referrers.
 *
 * @returns the graphs, the images first, and the digests of missing content
 * @throws {CorruptError} as `readImageGraph` and `ReferrerGraphs.read`
 */
export async function readPackageGraphs(
  kubepkg: KubePkg,
  content: ImportedContent,
): Promise<{ graphs: ImageGraph[]; missing: Digest[] }> {
  const missing = new Set<Digest>();
  const graphs: ImageGraph[] = [];
  for (const image of imagesOf(kubepkg)) graphs.push(await readImageGraph({ kubepkg, image }, content, missing));
  const referrers = new ReferrerGraphs(kubepkg, content);
  for (const line of referrersOf(kubepkg)) graphs.push(await referrers.read(line, missing));
  return { graphs, missing: [...missing] };
}

/** Reads the referrers of a package. */
export class ReferrerGraphs {
  readonly #content: ImportedContent;
  readonly #repositories: ReadonlySet<string>;
  /** The manifests that the package declares, as `repository@digest`. */
  readonly #manifests: ReadonlySet<string>;

  constructor(kubepkg: KubePkg, content: ImportedContent) {
    this.#content = content;
    this.#repositories = new Set(imagesOf(kubepkg).map(({ reference }) => repositoryOf(reference)));
    const lines = (kubepkg.status?.digests ?? []).filter(({ type }) => type === "manifest");
    this.#manifests = new Set(lines.map(({ name, digest }) => `${name}@${digest}`));
  }

  /**
   * Reads the manifests of a referrer, and checks that it is about the manifest that the package says. Otherwise a
   * package could set any tag of its repositories.
   *
   * @param missing receives the digests of missing content
   * @throws {CorruptError} when it is about another one, or as `readImageGraph`
   */
  async read({ type, digest, name, subject, tag }: ReferrerLine, missing: Set<Digest>): Promise<ImageGraph> {
    const { what } = this.#content;
    const refuse = (reason: string) => new CorruptError(cannot(`use ${what}`, `the referrer ${digest} ${reason}`));
    if (type !== "manifest" || !this.#manifests.has(`${name}@${subject}`)) {
      throw refuse(`is not about a manifest of ${name}`);
    }
    if (!this.#repositories.has(name)) throw refuse(`is in ${name}, of which the package has no image`);
    if (tag !== undefined && !cosignTagsOf(subject).includes(tag)) throw refuse(`has the tag ${JSON.stringify(tag)}`);
    const byDigest = parseReference(`${name}@${digest}`);
    const reference = tag === undefined ? byDigest : { host: byDigest.host, path: byDigest.path, tag };
    const graph = await readGraph({ reference, name: `${name}@${digest}`, digest }, this.#content, missing);
    const root = graph.manifests.at(-1);
    // What a tag is about is in its name. A root that is missing is in `missing`.
    if (tag === undefined && root !== undefined && parseManifest(root.bytes).subject?.digest !== subject) {
      throw refuse(`names another subject than ${subject}`);
    }
    return { ...graph, subject };
  }
}
