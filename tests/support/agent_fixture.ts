import { type CrpeProcess, spawnCrpe, startCrpe } from "./crpe_process.ts";
import { buildImage, type BuiltImage } from "./images.ts";
import { makeKubePkg } from "./kubepkg.ts";
import { type LargeBlob, makeLargeLayer } from "./large_blob.ts";
import { createPackFixture } from "./pack_fixture.ts";
import { writeImage } from "./put_image.ts";

/** The repository of the images. */
export const IMAGE_REPO = "registry.test/app";

/** Creates a folder with bundles `<version>.tgz`, and an agent (`crpe agent`) with the data folder `site`. */
export async function createAgentFixture() {
  const fixture = await createPackFixture({});
  const { folder, processOptions } = fixture;
  const tokenFile = `${folder.path}/site/kubepkg/.token`;
  return {
    folder,
    tokenFile,
    crpe: fixture.crpe,
    /** Packs release `version` of one image with a layer of `bytes` bytes. */
    async pack(
      version: string,
      bytes: number,
      ...flags: string[]
    ): Promise<{ file: string; image: BuiltImage; layer: LargeBlob }> {
      const layer = makeLargeLayer(bytes);
      const image = buildImage({ files: { "version.txt": version }, largeLayer: layer });
      await writeImage(fixture.store, `${IMAGE_REPO}:${version}`, image);
      const kubepkg = makeKubePkg({ [`${IMAGE_REPO}:${version}`]: "" }, { version, data: { version } });
      const { code, stderr } = await fixture.pack(kubepkg, version, ...flags);
      if (code !== 0) throw new Error(stderr);
      return { file: `${folder.path}/${version}.tgz`, image, layer };
    },
    startAgent: (...flags: string[]): Promise<CrpeProcess> =>
      startCrpe(["agent", "--addr=127.0.0.1:0", "--data=site", "--manifests-dir=manifests", ...flags], processOptions),
    push: (file: string, url: string, ...flags: string[]) =>
      spawnCrpe(["push", file, `--to=${url}`, `--token-file=${tokenFile}`, ...flags], processOptions),
    [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
  };
}
