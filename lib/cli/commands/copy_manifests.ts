import { writeFileDurably } from "../../files/durable.ts";
import { ifPresent } from "../../files/if_present.ts";
import { formatObjects } from "../../install/handover/manifest_file.ts";
import type { KubeObject, KubePkg } from "../../kubepkg/kubepkg.ts";
import { packageObjects } from "../../kubepkg/package_objects.ts";
import { renameImages } from "../../kubepkg/rename_images.ts";
import type { Digest } from "../../oci/digest.ts";
import { formatReference, type Reference } from "../../oci/reference.ts";
import type { Io } from "../console/io.ts";

/** An image that was copied, under both of its names. */
export interface CopiedName {
  readonly from: Reference;
  /** The digest of the image where it was copied from. */
  readonly digest: Digest;
  /** Without a digest. */
  readonly to: Reference;
  /** The digest that was pushed: another one where only some platforms were. */
  readonly pushed: Digest;
}

/** Options of `writeManifests`. */
interface WriteManifestsOptions {
  /** The file; `-` is standard output. */
  readonly file: string;
  readonly copied: readonly CopiedName[];
  readonly io: Io;
  readonly warn: (message: string) => void;
}

/**
 * Writes the objects of packages with the new names of the images that were copied. An image that was not, or whose name
 * cannot be replaced where it stands, is named in a warning.
 */
export async function writeManifests(
  packages: readonly KubePkg[],
  { file, copied, io, warn }: WriteManifestsOptions,
): Promise<void> {
  const names = new Map<string, CopiedName>();
  for (const name of copied) {
    const { host, path, tag } = name.from;
    if (tag !== undefined) names.set(formatReference({ host, path, tag }), name);
    names.set(formatReference({ host, path, digest: name.digest }), name);
  }
  const kept = new Set<string>();
  const rename = (reference: Reference): Reference | undefined => {
    const { host, path, tag, digest } = reference;
    const found = names.get(formatReference(tag === undefined ? reference : { host, path, tag }));
    // A package may pin a tag to another digest than that of its image; only the latter was copied.
    if (found === undefined || digest !== undefined && digest !== found.digest) {
      kept.add(formatReference(reference));
      return undefined;
    }
    const { to, pushed } = found;
    return {
      host: to.host,
      path: to.path,
      tag,
      digest: digest ? pushed : undefined,
    };
  };
  const objects: KubeObject[] = [];
  for (const { object } of packages.flatMap(packageObjects)) {
    const renamed = renameImages(object, rename);
    objects.push(renamed.object);
    for (const { image, where } of renamed.left) warn(`${where}: the name of ${image} has to be changed by hand`);
  }
  for (const image of kept) warn(`${image} was not copied: the manifests keep its name`);
  const text = formatObjects(objects);
  if (file === "-") io.out(text);
  else await writeForOwner(file, text);
}

// The objects may include Secrets, and a file that exists may be readable by all. A pipe or a device is not replaced.
async function writeForOwner(file: string, text: string): Promise<void> {
  const held = await ifPresent(Deno.stat(file));
  if (held?.isFile === false) return await Deno.writeTextFile(file, text);
  const path = held === undefined ? file : await Deno.realPath(file);
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  await writeFileDurably(path, new TextEncoder().encode(text), { temporary, ownership: { mode: 0o600 } });
}
