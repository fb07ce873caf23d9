import { computeDigest } from "../../lib/oci/digest.ts";
import { createRegistryHandler } from "../../lib/registry/handler.ts";
import { type CrpeProcess, runCrpe, startCrpe } from "./crpe_process.ts";
import { buildImage, buildIndex, type BuiltImage, type ImageOptions } from "./images.ts";
import { MemoryStore } from "./memory_store.ts";
import { writeImage } from "./put_image.ts";
import { TestFolder } from "./test_folder.ts";

const platforms = (name: string) =>
  buildIndex(
    ["linux/amd64", "linux/arm64"].map((platform) => buildImage({ platform, files: { [name]: platform } })),
    { attestation: true },
  );

const named = (name: string, options: ImageOptions = {}) =>
  buildImage({ files: { "etc/name": `${name}\n` }, ...options });

/** The images of the upstream, by name. Each situation has its own, so that its first pull is uncached. */
const IMAGES: Readonly<Record<string, BuiltImage>> = {
  "quay.io/team/tag:1": named("tag", { format: "docker" }),
  "quay.io/team/digest:1": named("digest"),
  "quay.io/team/index:1": platforms("index"),
  "docker.io/team/tag:1": named("docker's tag", { format: "docker" }),
  "docker.io/team/digest:1": named("docker's digest"),
  "docker.io/team/index:1": platforms("docker's index"),
  "docker.io/library/hub:1": named("hub"),
  "docker.io/library/short:1": named("short"),
  "registry.test:5000/team/app:1": named("port"),
};

/** The registries of the images. */
export const HOSTS: readonly string[] = ["docker.io", "quay.io", "registry.test:5000"];

/** An image reference that each client has to pull: cold, warm and without the upstream. */
export interface Situation {
  readonly name: "tag" | "digest" | "index" | "library/" | "no library/" | "host:port";
  readonly host: string;
  /** As a user writes it, without the host. */
  readonly path: string;
  /** A tag or a digest. */
  readonly reference: string;
  readonly image: BuiltImage;
}

/**
 * Lists the situations.
 *
 * @param team the registry of the images that may be on any; docker supports mirrors of docker.io only
 */
export function listSituations(team: "quay.io" | "docker.io" = "quay.io"): Situation[] {
  const at = (name: Situation["name"], host: string, path: string): Situation => {
    const repository = path === "short" ? `library/${path}` : path;
    return { name, host, path, reference: "1", image: IMAGES[`${host}/${repository}:1`]! };
  };
  const digest = at("digest", team, "team/digest");
  return [
    at("tag", team, "team/tag"),
    { ...digest, reference: digest.image.root.digest },
    at("index", team, "team/index"),
    at("library/", "docker.io", "library/hub"),
    at("no library/", "docker.io", "short"),
    at("host:port", "registry.test:5000", "team/app"),
  ];
}

/** Formats what follows the name in a reference: `:1` or `@sha256:…`. */
export function suffixOf({ reference }: Situation): string {
  return `${reference.includes(":") ? "@" : ":"}${reference}`;
}

/** An upstream that plays three registries, and a crpe in front of it. */
export class MirrorFixture implements AsyncDisposable {
  readonly folder: TestFolder;
  readonly crpe: CrpeProcess;
  readonly #upstream: Deno.HttpServer;
  #isUp = true;

  private constructor(folder: TestFolder, crpe: CrpeProcess, upstream: Deno.HttpServer) {
    this.folder = folder;
    this.crpe = crpe;
    this.#upstream = upstream;
  }

  static async start(): Promise<MirrorFixture> {
    const folder = await TestFolder.create();
    const store = new MemoryStore();
    for (const [name, image] of Object.entries(IMAGES)) {
      const [repo = "", tag = ""] = name.split(/:(?=[^:]*$)/);
      await writeImage(store, `${repo}:${tag}`, image);
    }
    // crpe names one of the three registries in `ns`.
    const options = {
      hostname: "127.0.0.1",
      port: 0,
      onListen() {},
      onError: () => new Response(null, { status: 500 }),
    };
    const upstream = Deno.serve(options, createRegistryHandler(store));
    const upstreams = HOSTS.map((host) => `--upstream=${host}=http://127.0.0.1:${upstream.addr.port}`);
    const args = ["registry", "--addr=127.0.0.1:0", `--data=${folder.path}/data`, "--tag-ttl=0", ...upstreams];
    const crpe = await startCrpe(args, { env: { HOME: folder.path } });
    return new MirrorFixture(folder, crpe, upstream);
  }

  /** crpe's address: `127.0.0.1:40123`. */
  get address(): string {
    return new URL(this.crpe.url).host;
  }

  /** Runs `crpe mirror-config` for this crpe. @returns its output */
  async mirrorConfig(client: string, ...flags: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await runCrpe(["mirror-config", client, `--to=${this.crpe.url}`, ...flags], {
      env: { HOME: this.folder.path },
    });
    if (code !== 0) throw new Error(`crpe mirror-config ${client}: ${stderr}`);
    return stdout;
  }

  /** Stops the upstream; it refuses connections from then on. */
  async stopUpstream(): Promise<void> {
    if (this.#isUp) await this.#upstream.shutdown();
    this.#isUp = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crpe[Symbol.asyncDispose]();
    await this.stopUpstream();
    await this.folder[Symbol.asyncDispose]();
  }
}

/**
 * Checks that a folder which skopeo wrote (`dir:`) contains a whole image, byte for byte.
 *
 * @throws {Error} when a blob or manifest differs
 */
export async function checkCopied(folder: string, { root, manifests, blobs }: BuiltImage): Promise<void> {
  const digests = [...blobs.keys(), ...manifests.slice(0, -1).map(({ descriptor }) => descriptor.digest)];
  for (const digest of digests) {
    // skopeo adds a suffix to the manifests below an index.
    const name = `${folder}/${digest.slice(digest.indexOf(":") + 1)}`;
    const bytes = await Deno.readFile(name).catch(() => Deno.readFile(`${name}.manifest.json`));
    if (computeDigest(bytes) !== digest) throw new Error(`the content of ${digest} differs`);
  }
  const digest = computeDigest(await Deno.readFile(`${folder}/manifest.json`));
  if (digest !== root.digest) throw new Error(`${digest} was pulled instead of ${root.digest}`);
}
