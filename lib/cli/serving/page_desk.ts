import { layOutBundle } from "../../bundle/bundle_layout.ts";
import {
  checkPackage,
  describeEmptyPackage,
  describeIncompleteImages,
  describeMissingImages,
  listMissingImages,
  listMissingInPack,
} from "../../bundle/check_package.ts";
import { addDeltas } from "../../bundle/pack_deltas.ts";
import type { Outbox } from "../../bundle/outbox.ts";
import { writePrepared } from "../../bundle/pack_bundle.ts";
import { preparePack } from "../../bundle/prepare_pack.ts";
import { imagesOf } from "../../kubepkg/images_of.ts";
import { formatReference } from "../../oci/reference.ts";
import type { PageDesk } from "../../page/page_options.ts";
import { SiteInventories } from "../../store/site_inventories.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { ServerContext } from "./serve_registry.ts";

/** Creates what the page of a registry packs with: through the server's own cache, into the outbox. */
export function createPageDesk({ settings, content, log }: ServerContext, outbox: Outbox): PageDesk {
  const inventories = new SiteInventories(settings.data);
  return {
    inventories: {
      list: async () => ({
        inventories: (await inventories.list()).map(({ time, ...it }) => ({
          ...it,
          saved: new Date(time).toISOString(),
        })),
      }),
      save: (name, bytes) => inventories.save(name, bytes),
      read: (name) => inventories.read(name),
      remove: (name) => inventories.remove(name),
    },
    describe(kubepkg) {
      const checked = checkPackage(kubepkg);
      const missing = describeMissingImages(listMissingImages(checked.kubepkg, checked));
      return {
        kubepkg: checked.kubepkg,
        name: kubepkg.metadata.name,
        namespace: kubepkg.metadata.namespace,
        version: kubepkg.spec.version,
        images: imagesOf(kubepkg).map(({ reference }) => formatReference(reference)),
        objects: Object.keys(checked.kubepkg.spec.manifests).length,
        warnings: [...missing, ...checked.warnings].map(({ message }) => message),
      };
    },
    async pack({ kubepkg, name, version }, { platforms, have }, { signal, onProgress }) {
      using _lease = settings.offline ? undefined : await takeWriteLease(settings.data);
      const planned = await preparePack(kubepkg, content.source, {
        have,
        referrers: { catalog: content.source, isCarried: true },
        platforms: platforms.length === 0 ? undefined : platforms,
        devicePlatforms: settings.platforms,
      });
      signal.throwIfAborted();
      using deltas = have?.models === undefined || have.models.size === 0 ? undefined : await addDeltas(planned, {
        ...{ store: content.store, have, models: have.models, effort: "normal", signal },
        onProgress: ({ bytes }) => onProgress({ bytes }),
      });
      const pack = deltas?.pack ?? planned;
      const checked = checkPackage(kubepkg);
      const warnings = [
        ...describeEmptyPackage(pack),
        ...describeMissingImages(listMissingInPack(pack, checked)),
        ...describeIncompleteImages(pack),
        ...checked.warnings,
      ];
      const file = { pack, layout: layOutBundle(pack) };
      const options = { hashOutput: true, onProgress, size: file.layout.size };
      const { tgzDigest, size, blobs } = await outbox.add(
        `${name}@${version}.tgz`,
        (output) => writePrepared(file, options, output),
        options,
      );
      log.write("info", `packed ${name}@${version} into the outbox: ${tgzDigest}`);
      return { digest: tgzDigest, size, omitted: blobs.omitted, warnings: warnings.map(({ message }) => message) };
    },
  };
}
