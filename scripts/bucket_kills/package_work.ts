import { createPackFixture } from "../../tests/support/pack_fixture.ts";
import { buildImage, type BuiltImage } from "../../tests/support/images.ts";
import { makeKubePkg } from "../../tests/support/kubepkg.ts";
import type { Random } from "../../tests/support/random.ts";

/** A release of a package, in a bundle. */
interface Release {
  readonly version: string;
  readonly bundle: string;
  readonly image: BuiltImage;
}

/** A package of one machine: no other machine changes it. */
interface OwnPackage {
  readonly name: string;
  readonly repository: string;
  readonly releases: readonly Release[];
  /** What is installed, by the word of crpe; `"unknown"` after a command that was killed. */
  installed: Release | "none" | "unknown";
}

/** A command of a machine. */
export interface PackageCommand {
  readonly name: string;
  readonly args: readonly string[];
  /** Called when crpe says that it is done, or with `false`. */
  readonly onEnd: (isDone: boolean) => void;
}

/** The registry of all packages. No upstream has it. */
export const PACKAGE_HOST = "site.test";
const RELEASES = 3;
const EXTRA = 12;
const LOADED = `${PACKAGE_HOST}/loaded`;

/** The packages of a machine, the commands that change them, and what must be in the bucket after them. */
export class PackageWork {
  readonly #packages: readonly OwnPackage[];
  readonly #archive: string;
  readonly #extra: readonly Release[];
  readonly #loaded = new Map<string, Release>();
  #isSaved: Release | undefined;

  private constructor(packages: readonly OwnPackage[], extra: readonly Release[], archive: string) {
    this.#packages = packages;
    this.#extra = extra;
    this.#archive = archive;
  }

  /** Packs the packages of a machine. @param count how many */
  static async create(machine: string, count: number): Promise<PackageWork & AsyncDisposable> {
    const bytes = () => crypto.getRandomValues(new Uint8Array(65536));
    const shared = { "shared.bin": bytes() };
    // The images of the first one are loaded only, each in the place of another one, which is garbage then.
    const packages = Array.from({ length: count + 1 }, (_, i) => ({
      name: `${machine}-${i}`,
      repository: `${PACKAGE_HOST}/${machine}/app-${i}`,
      images: Array.from(
        { length: i === 0 ? EXTRA : RELEASES },
        () => buildImage({ files: [shared, { "own.bin": bytes() }] }),
      ),
    }));
    const fixture = await createPackFixture(Object.fromEntries(
      packages.flatMap(({ repository, images }) => images.map((image, i) => [`${repository}:${i}`, image])),
    ));
    const packed: OwnPackage[] = [];
    for (const { name, repository, images } of packages) {
      const releases: Release[] = [];
      for (const [i, image] of images.entries()) {
        const version = `${i + 1}.0.0`;
        const release = makeKubePkg({ [`${repository}:${i}`]: image.root.digest }, { name, version });
        const { code, stderr } = await fixture.pack(release, `${name}-${i}`);
        if (code !== 0) throw new Error(stderr);
        releases.push({ version, bundle: `${fixture.folder.path}/${name}-${i}.tgz`, image });
      }
      packed.push({ name, repository, releases, installed: "none" });
    }
    const work = new PackageWork(packed.slice(1), packed[0]!.releases, `${fixture.folder.path}/saved.tar`);
    return Object.assign(work, { [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() });
  }

  /** Chooses the next command. */
  next(random: Random): PackageCommand {
    const it = this.#packages[random.below(this.#packages.length)]!;
    const release = it.releases[random.below(RELEASES)]!;
    const dice = random.below(10);
    if (dice < 3) {
      it.installed = "unknown";
      const onEnd = (isDone: boolean) => void (isDone && (it.installed = release));
      return { name: "import", args: ["import", "--force", release.bundle], onEnd };
    }
    if (dice < 5) {
      it.installed = "unknown";
      const onEnd = (isDone: boolean) => void (isDone && (it.installed = "none"));
      return { name: "packages remove", args: ["packages", "remove", it.name], onEnd };
    }
    const { installed } = it;
    if (dice === 5 && typeof installed === "object") {
      const onEnd = (isDone: boolean) => void (this.#isSaved = isDone ? installed : undefined);
      const index = it.releases.indexOf(installed);
      return { name: "save", args: ["save", `${it.repository}:${index}`, "-o", this.#archive], onEnd };
    }
    if (dice === 6) {
      const onEnd = () => {};
      return { name: "verify", args: ["verify", "--repair", "--offline", `--from=${release.bundle}`], onEnd };
    }
    const saved = random.below(4) === 0 ? this.#isSaved : undefined;
    const image = saved ?? this.#extra[random.below(EXTRA)]!;
    const name = `${LOADED}/${it.name}:${random.below(2)}`;
    this.#loaded.delete(name);
    const onEnd = (isDone: boolean) => void (isDone && this.#loaded.set(name, image));
    return {
      name: "load",
      args: ["load", `--name=${name}`, saved === undefined ? image.bundle : this.#archive],
      onEnd,
    };
  }

  /** The images that must be complete, by their names. */
  required(): Map<string, BuiltImage> {
    const images = new Map([...this.#loaded].map(([name, { image }]) => [name, image]));
    for (const { repository, releases, installed } of this.#packages) {
      if (typeof installed === "object") images.set(`${repository}:${releases.indexOf(installed)}`, installed.image);
    }
    return images;
  }

  /** Compares the installed packages with what crpe has said. @returns what is wrong */
  compare(listed: readonly { readonly name: string; readonly version: string }[]): string[] {
    return this.#packages.flatMap(({ name, installed }) => {
      const found = listed.find((it) => it.name === name)?.version ?? "none";
      const expected = typeof installed === "object" ? installed.version : installed;
      return expected === "unknown" || expected === found ? [] : [`${name} is ${found}, and must be ${expected}`];
    });
  }
}
