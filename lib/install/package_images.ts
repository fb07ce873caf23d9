import type { ImageGraph } from "../bundle/image_graph.ts";
import { readPackageGraphs } from "../bundle/package_graphs.ts";
import { runBounded } from "../content/bounded_tasks.ts";
import type { ContentStore } from "../content/source.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatRelease } from "../kubepkg/package_id.ts";
import { referrersOf } from "../kubepkg/referrers_of.ts";
import { decideCosignTag } from "../oci/cosign_tag.ts";
import type { Digest } from "../oci/digest.ts";
import { byForce, cannot, IncompleteError } from "../oci/error.ts";
import { imagesThatNeed } from "./plan_blobs.ts";
import { repositoryFinder } from "./repository_finder.ts";

const MAX_SHOWN = 10;
/** So that their files are synced in the time of one. */
const IMAGES_AT_ONCE = 16;

/**
 * Reads the images of an installed package, with their manifests, from the store.
 *
 * @param action the action that needs them, for the error: `roll line4 back to 1.0.0`
 * @throws {IncompleteError} when the store does not hold all content; names the digests and the images that need them
 */
export async function readInstalledImages(
  store: ContentStore,
  kubepkg: KubePkg,
  action: string,
): Promise<ImageGraph[]> {
  const lines = kubepkg.status?.digests ?? [];
  const what = formatRelease(kubepkg);
  const repositoryOf = repositoryFinder([kubepkg], what);
  const statBlob = (digest: Digest) => store.statBlob(repositoryOf(digest), digest);
  const missing = new Set<Digest>();
  for (const { digest, size } of lines) if (await statBlob(digest) !== size) missing.add(digest);
  // For other platforms the store may hold some content from elsewhere; it does not belong to the package.
  const own = new Set(lines.filter(({ type }) => type === "manifest").map(({ digest }) => digest));
  const found = await readPackageGraphs(kubepkg, {
    what,
    readManifest: async (repository, digest) => {
      return own.size > 0 && !own.has(digest) ? undefined : await store.readManifest(repository, digest);
    },
    statBlob,
  });
  for (const digest of found.missing) missing.add(digest);
  if (missing.size > 0) throw missingContentError(kubepkg, [...missing], action);
  return found.graphs;
}

function missingContentError(kubepkg: KubePkg, missing: readonly Digest[], action: string): IncompleteError {
  const images = imagesThatNeed(kubepkg, new Set(missing));
  const more = missing.length > MAX_SHOWN ? ` and ${missing.length - MAX_SHOWN} more` : "";
  return new IncompleteError(
    cannot(
      action,
      `the store does not hold ${missing.slice(0, MAX_SHOWN).join(", ")}${more}, needed by ${images.join(", ")}; ` +
        "nothing was changed",
      "import that version's bundle again",
    ),
    missing,
    byForce("crpe import needs --force for that"),
  );
}

/**
 * Writes the manifests of images, several images at a time, and then sets their tags one after the other.
 *
 * @param listOthers lists the other installed packages, whose signatures of the same images stay under their tags
 */
export async function writeImages(
  store: ContentStore,
  graphs: readonly ImageGraph[],
  listOthers: () => Promise<readonly KubePkg[]>,
): Promise<void> {
  await runBounded(graphs, IMAGES_AT_ONCE, async ({ repository, manifests }) => {
    for (const { descriptor, bytes } of manifests) await store.writeManifest(repository, descriptor, bytes);
  });
  for (const graph of graphs) {
    const { reference: { tag }, repository, digest } = graph;
    if (tag !== undefined && !await isHeldByOther(store, graph, listOthers)) await store.tag(repository, tag, digest);
  }
}

/**
 * Reports whether a tag of cosign leads to what another package has brought, with everything that this one brings:
 * of two packages with the same image, one may have more signatures.
 */
async function isHeldByOther(
  store: ContentStore,
  { reference: { tag }, repository, digest, subject, manifests }: ImageGraph,
  listOthers: () => Promise<readonly KubePkg[]>,
): Promise<boolean> {
  if (tag === undefined || subject === undefined) return false;
  const current = await store.resolve(repository, tag);
  if (current === undefined || current.digest === digest) return false;
  const isOthers = (await listOthers()).flatMap(referrersOf).some((line) => {
    return line.name === repository && line.tag === tag && line.digest === current.digest;
  });
  const bytes = isOthers ? await store.readManifest(repository, current.digest) : undefined;
  const root = manifests.at(-1);
  return bytes !== undefined && root !== undefined && decideCosignTag(bytes, root.bytes) === "keep";
}
