import { formatTarFiles } from "../../lib/archive/tar_header.ts";
import { readBundle } from "../../lib/bundle/read_bundle.ts";
import type { KubePkg, StatusDelta } from "../../lib/kubepkg/kubepkg.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { buildImage, type BuiltImage, type Files } from "./images.ts";
import { makeKubePkg } from "./kubepkg.ts";
import { createPackFixture } from "./pack_fixture.ts";
import { writeImage } from "./put_image.ts";
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

/** A layer with its compressed bytes. */
export function layerInput(bytes: Uint8Array<ArrayBuffer>) {
  const open = () => Promise.resolve(new Blob([bytes]).stream());
  return { digest: computeDigest(bytes), size: bytes.length, open };
}

/** The files of an application's layer: libraries that stay, and one file that each version changes. */
export function makeAppFiles(version: number, count = 24): Files {
  const files = Array.from({ length: count }, (_, i) => [`app/lib/${i}.js`, makeText(i, 20_000)] as const);
  return Object.fromEntries([...files, ["app/main.js", `// version ${version}\n${makeText(1000 + version, 3000)}`]]);
}

/** Compresses with GNU gzip, which the tests' own zlib does not equal byte by byte. */
export function gnuGzip(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const path = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(path, bytes);
    const { success, stdout } = new Deno.Command("gzip", { args: ["-nc", path] }).outputSync();
    if (!success) throw new Error("gzip failed");
    return stdout;
  } finally {
    Deno.removeSync(path);
  }
}

const images = new Map<string, BuiltImage>();

/** An image with a base layer that all versions share, and a layer with the application. It is built once. */
export function makeAppImage(version: number, { platform = "linux/amd64", count = 24 } = {}): BuiltImage {
  const key = `${version} ${platform} ${count}`;
  const built = images.get(key);
  if (built !== undefined) return built;
  const base = { "etc/os-release": makeText(7, 30_000) };
  const image = buildImage({ platform, files: [base, makeAppFiles(version, count)], gzip: gnuGzip });
  images.set(key, image);
  return image;
}

/** Options of `createDeltaFixture`. */
export interface DeltaFixtureOptions {
  /** The versions of the application that the data folder `source` has. */
  readonly versions?: readonly number[];
  /** Number of files of 20 kB in the layer of each. */
  readonly count?: number;
}

/** Creates a folder as `createPackFixture` does, with several versions of an application in the data folder `source`. */
export async function createDeltaFixture({ versions = [1, 2], count }: DeltaFixtureOptions = {}) {
  const fixture = await createPackFixture({});
  for (const version of versions) {
    await writeImage(fixture.store, `${DELTA_REPO}:${version}`, makeAppImage(version, { count }));
  }
  return {
    ...fixture,
    /** Packs a version into `<name>.tgz`, and returns what `crpe pack --json` printed. */
    async packVersion(version: number, name: string, ...flags: readonly string[]) {
      const data = { version: `${version}` };
      const kubepkg = makeKubePkg({ [`${DELTA_REPO}:${version}`]: "" }, { version: `${version}.0.0`, data });
      const { code, stdout, stderr } = await fixture.pack(kubepkg, name, "--json", ...flags);
      if (code !== 0) throw new Error(stderr);
      return JSON.parse(stdout);
    },
    [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
  };
}

/** The parts of a bundle in memory: `kubepkg.json`, and the entries after the documents. */
export interface OpenedBundle {
  readonly kubepkg: KubePkg;
  readonly entries: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

/** Reads a bundle into memory. */
export async function readWholeBundle(path: string): Promise<OpenedBundle> {
  const bundle = await readBundle((await Deno.open(path)).readable);
  const entries: { name: string; bytes: Uint8Array }[] = [];
  for (let blob = await bundle.next(); blob !== undefined; blob = await bundle.next()) {
    entries.push({ name: blob.name, bytes: (await blob.readAll(blob.size)).slice() });
  }
  return { kubepkg: bundle.kubepkg, entries };
}

/** The only delta that a bundle declares. */
export function deltaOf({ kubepkg }: OpenedBundle): StatusDelta {
  const { deltas = [] } = kubepkg.status ?? {};
  if (deltas.length !== 1) throw new Error(`the bundle declares ${deltas.length} deltas`);
  return deltas[0]!;
}

/** What `withDelta` changes. */
export interface DeltaChange {
  /** The bytes of the delta. */
  readonly bytes?: (bytes: Uint8Array) => Uint8Array;
  /** What `status.deltas` says, after digest and size were set to those of the bytes. */
  readonly status?: (delta: StatusDelta) => StatusDelta;
}

/** Formats a bundle as a tar, with its only delta changed. */
export function withDelta(bundle: OpenedBundle, { bytes = same, status = same }: DeltaChange): Uint8Array {
  const { kubepkg, entries } = bundle;
  const declared = deltaOf(bundle);
  const changed = entries.map((entry) =>
    entry.name.startsWith("deltas/") ? { ...entry, bytes: bytes(entry.bytes) } : entry
  );
  const delta = changed.find(({ name }) => name.startsWith("deltas/"))!;
  const deltas = [status({ ...declared, delta: computeDigest(delta.bytes), size: delta.bytes.length })];
  const document = { ...kubepkg, status: { ...kubepkg.status, deltas } };
  const tar = formatTarFiles([
    ["kubepkg.json", new TextEncoder().encode(JSON.stringify(document))],
    ...changed.map(({ name, bytes }) => [name, bytes] as const),
  ]);
  return new Uint8Array([...tar, ...new Uint8Array(1024)]);
}

function same<T>(value: T): T {
  return value;
}
