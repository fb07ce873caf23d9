import type { ContentStore } from "../content/source.ts";
import type { ImageGraph } from "./image_graph.ts";

/** Files the manifests of images, and then points their tags at them. */
export async function writeImages(store: ContentStore, graphs: readonly ImageGraph[]): Promise<void> {
  for (const { repository, manifests } of graphs) {
    for (const { descriptor, bytes } of manifests) await store.writeManifest(repository, descriptor, bytes);
  }
  for (const { reference, repository, digest } of graphs) {
    if (reference.tag !== undefined) await store.tag(repository, reference.tag, digest);
  }
}
