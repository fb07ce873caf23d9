import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { type ReferrerLine, referrersOf } from "../kubepkg/referrers_of.ts";
import { cosignTagsOf } from "../oci/cosign_tag.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { parseManifest } from "../oci/manifest.ts";
import { parseReference, repositoryOf } from "../oci/reference.ts";
import { type ImageGraph, type ImportedContent, readGraph, readImageGraph } from "./image_graph.ts";

/**
 * Reads the graphs of all images of a package, and of their referrers.
 *
 * @returns the graphs, the images first, and the digests of missing content
 * @throws {CorruptError} as `readImageGraph` and `readReferrerGraph`
 */
export async function readPackageGraphs(
  kubepkg: KubePkg,
  content: ImportedContent,
): Promise<{ graphs: ImageGraph[]; missing: Digest[] }> {
  const missing = new Set<Digest>();
  const graphs: ImageGraph[] = [];
  for (const image of imagesOf(kubepkg)) graphs.push(await readImageGraph({ kubepkg, image }, content, missing));
  for (const line of referrersOf(kubepkg)) graphs.push(await readReferrerGraph({ kubepkg, line }, content, missing));
  return { graphs, missing: [...missing] };
}

/**
 * Reads the manifests of a referrer, and checks that it is about the manifest that the package says. Otherwise a package
 * could set any tag of its repositories.
 *
 * @param missing receives the digests of missing content
 * @throws {CorruptError} when it is about another one, or as `readImageGraph`
 */
export async function readReferrerGraph(
  { kubepkg, line }: { readonly kubepkg: KubePkg; readonly line: ReferrerLine },
  content: ImportedContent,
  missing: Set<Digest>,
): Promise<ImageGraph> {
  const { digest, name, subject, tag } = line;
  const refuse = (reason: string) => new CorruptError(`Cannot use ${content.what}: the referrer ${digest} ${reason}`);
  const isDeclared = (kubepkg.status?.digests ?? []).some((it) => {
    return it.type === "manifest" && it.digest === subject && it.name === name;
  });
  if (line.type !== "manifest" || !isDeclared) throw refuse(`is not about a manifest of ${name}`);
  if (!imagesOf(kubepkg).some(({ reference }) => repositoryOf(reference) === name)) {
    throw refuse(`is in ${name}, of which the package has no image`);
  }
  if (tag !== undefined && !cosignTagsOf(subject).includes(tag)) throw refuse(`has the tag ${JSON.stringify(tag)}`);
  const repository = parseReference(`${name}@${digest}`);
  const reference = tag === undefined ? repository : { host: repository.host, path: repository.path, tag };
  const graph = await readGraph({ reference, name: `${name}@${digest}`, digest }, content, missing);
  const root = graph.manifests.at(-1);
  // What a tag is about is in its name. A root that is missing is in `missing`.
  if (tag === undefined && root !== undefined && parseManifest(root.bytes).subject?.digest !== subject) {
    throw refuse(`names another subject than ${subject}`);
  }
  return { ...graph, subject };
}
