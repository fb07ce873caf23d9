import { buildImage, type BuiltImage, type Files } from "./images.ts";
import { makeKubePkg } from "./kubepkg.ts";
import { createPackFixture } from "./pack_fixture.ts";
import { Random } from "./random.ts";

/** The repository of the images. */
export const DELTA_REPO = "registry.test/app";

const WORDS = "import export function return const layer image registry bundle digest platform answer while".split(" ");

/** Text that compresses like source code. The same seed gives the same text. */
export function makeText(seed: number, bytes: number): string {
  const random = new Random(seed);
  let text = "";
  while (text.length < bytes) {
    text += `${WORDS[random.below(WORDS.length)]}${random.below(3) === 0 ? `_${random.next().toString(36)}` : ""}${
      random.below(9) === 0 ? "\n" : " "
    }`;
  }
  return text.slice(0, bytes);
}

/** The files of an application's layer: libraries that stay, and one file that each version changes. */
export function makeAppFiles(version: number, count = 24): Files {
  const files = Array.from({ length: count }, (_, i) => [`app/lib/${i}.js`, makeText(i, 20_000)] as const);
  return Object.fromEntries([...files, ["app/main.js", `// version ${version}\n${makeText(1000 + version, 3000)}`]]);
}

/** An image with a base layer that all versions share, and a layer with the application. */
export function makeAppImage(version: number, platform = "linux/amd64"): BuiltImage {
  const base = { "etc/os-release": makeText(7, 30_000) };
  return buildImage({ platform, files: [base, makeAppFiles(version)] });
}

/** Creates a folder with bundles `1.tgz` (whole) and `2.tgz` (deltas against the first), as `createPackFixture` does. */
export async function createDeltaFixture({ flags = ["--since=1.tgz"] }: { flags?: readonly string[] } = {}) {
  const fixture = await createPackFixture({
    [`${DELTA_REPO}:1`]: makeAppImage(1),
    [`${DELTA_REPO}:2`]: makeAppImage(2),
  });
  const pack = async (version: number, name: string, ...more: readonly string[]) => {
    const data = { version: `${version}` };
    const kubepkg = makeKubePkg({ [`${DELTA_REPO}:${version}`]: "" }, { version: `${version}.0.0`, data });
    const { code, stdout, stderr } = await fixture.pack(kubepkg, name, ...more);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  };
  await pack(1, "1");
  const report = await pack(2, "2", ...flags);
  return {
    ...fixture,
    packVersion: pack,
    /** What the pack of the second version printed. */
    report,
    [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
  };
}
