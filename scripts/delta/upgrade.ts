/**
 * Upgrades an image whose layers are those of all given pairs, and prints what it took: both releases are packed, the
 * second with the first at the site; an agent gets it by `crpe push`, a second site by `crpe import`, and skopeo copies
 * the image from both by its published digest.
 *
 *   scripts/delta/pairs python-web node-web > pairs.tsv && deno run -A scripts/delta/upgrade.ts pairs.tsv
 */
import { createHash } from "node:crypto";
import { streamFile } from "../../lib/bytes/file_stream.ts";
import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { type Descriptor, MEDIA_TYPE } from "../../lib/oci/manifest.ts";
import { ContainerTools } from "../../tests/support/container_tools.ts";
import { startCrpe } from "../../tests/support/crpe_process.ts";
import { DELTA_REPO } from "../../tests/support/delta_fixture.ts";
import type { BuiltImage } from "../../tests/support/images.ts";
import { makeKubePkg } from "../../tests/support/kubepkg.ts";
import { createPackFixture } from "../../tests/support/pack_fixture.ts";
import { type Measurement, measurePrograms } from "../bench/measure.ts";

const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";
const MB = 1e6;

async function digestOf(path: string): Promise<Digest> {
  const hash = createHash("sha256");
  for await (const piece of (await Deno.open(path)).readable) hash.update(piece);
  return `sha256:${hash.digest("hex")}`;
}

/** Describes an image with these files as its layers. */
async function describeImage(layers: readonly { readonly gzip: string; readonly tar: string }[]): Promise<BuiltImage> {
  const largeBlobs = new Map<
    Digest,
    { digest: Digest; size: number; open: () => ReadableStream<Uint8Array<ArrayBuffer>> }
  >();
  const descriptors: Descriptor[] = [];
  const diffIds: Digest[] = [];
  for (const { gzip, tar } of layers) {
    const [digest, { size }] = [await digestOf(gzip), await Deno.stat(gzip)];
    diffIds.push(await digestOf(tar));
    largeBlobs.set(digest, { digest, size, open: () => streamFile(Deno.openSync(gzip), size) as never });
    descriptors.push({ mediaType: LAYER_TYPE, digest, size });
  }
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const config = encode({
    architecture: "amd64",
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: diffIds },
  });
  const bytes = encode({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: { mediaType: CONFIG_TYPE, digest: computeDigest(config), size: config.length },
    layers: descriptors,
  });
  const root = { mediaType: MEDIA_TYPE.ociManifest, digest: computeDigest(bytes), size: bytes.length };
  return {
    manifests: [{ descriptor: root, bytes }],
    blobs: new Map([[computeDigest(config), config]]),
    largeBlobs,
    root,
  };
}

const lines = (await Deno.readTextFile(Deno.args[0]!)).split("\n").filter((line) => line !== "");
const pairs = lines.map((line) => line.split("\t") as [string, string, string, string, string, string]);
const images = {
  1: await describeImage(pairs.map(([, , gzip, , tar]) => ({ gzip, tar }))),
  2: await describeImage(pairs.map(([, , , gzip, , tar]) => ({ gzip, tar }))),
};
await using fixture = await createPackFixture({ [`${DELTA_REPO}:1`]: images[1], [`${DELTA_REPO}:2`]: images[2] });
const { folder, processOptions } = fixture;
await using tools = await ContainerTools.create();

function report(work: string, { figure, cpu, peak }: Required<Measurement>): void {
  console.log(`${work}: ${figure.toFixed(1)} s, ${cpu.toFixed(1)} CPU s, ${Math.round(peak / 2 ** 20)} MiB`);
}

/** Runs a crpe command, and prints its figures. */
async function run(work: string, ...args: readonly string[]): Promise<string> {
  let output = "";
  const measured = await measurePrograms(async () => {
    const { code, stdout, stderr } = await fixture.crpe(...args);
    if (code !== 0) throw new Error(`Cannot ${work}: exit status ${code}: ${stderr}`);
    output = stdout;
  });
  report(work, measured);
  return output;
}

async function pack(version: 1 | 2, ...flags: readonly string[]): Promise<number> {
  const kubepkg = makeKubePkg({ [`${DELTA_REPO}:${version}`]: "" }, { version: `${version}.0.0` });
  await folder.write(`${version}.json`, JSON.stringify(kubepkg));
  const file = `${version}.tgz`;
  await run(`pack release ${version}`, "pack", `${version}.json`, "-o", file, "--data=source", "--offline", ...flags);
  return (await Deno.stat(`${folder.path}/${file}`)).size;
}

/** Copies the image of the second release by its digest; skopeo verifies every byte. */
async function copyPublished(url: string, name: string): Promise<void> {
  const image = `${new URL(url).host}/${DELTA_REPO}@${images[2].root.digest}`;
  const { code, stderr } = await tools.skopeo(["copy", `docker://${image}`, `dir:${folder.path}/copy-${name}`]);
  if (code !== 0) throw new Error(`Cannot copy ${image}: ${stderr}`);
  console.log(`skopeo copied ${images[2].root.digest} from the site of ${name}`);
}

const plain = (await Promise.all(pairs.map(([, , , , , tar]) => Deno.stat(tar)))).reduce(
  (sum, { size }) => sum + size,
  0,
);
const whole = [...images[2].largeBlobs.values()].reduce((sum, { size }) => sum + size, 0);
console.log(`${pairs.length} layers: ${(whole / MB).toFixed(1)} MB, ${(plain / MB).toFixed(1)} MB plain`);
await pack(1);
for (const site of ["pushed", "imported"]) await run(`import release 1 (${site})`, "import", "1.tgz", `--data=${site}`);
await folder.write("have.json", await run("list what the site has", "inventory", "--data=imported"));
const upgrade = await pack(2, "--have=have.json");
console.log(`the bundle of release 2: ${upgrade} bytes, ${(upgrade / whole * 100).toFixed(2)} % of its layers`);

await run("import release 2", "import", "2.tgz", "--data=imported");
{
  await using registry = await startCrpe(
    ["registry", "--addr=127.0.0.1:0", "--data=imported", "--offline"],
    processOptions,
  );
  await copyPublished(registry.url, "imported");
}
await using agent = await startCrpe(["agent", "--addr=127.0.0.1:0", "--data=pushed"], processOptions);
const flags = [`--to=${agent.url}`, `--token-file=${folder.path}/pushed/kubepkg/.token`, "--data=source"];
await run("push release 2", "push", "2.tgz", ...flags);
await copyPublished(agent.url, "pushed");
