import { Outbox } from "../../bundle/outbox.ts";
import { type PackChoice, preparePack, type ReferrerChoice } from "../../bundle/prepare_pack.ts";
import type { ImageKeys } from "../../bundle/verify_images.ts";
import { chooseBundlePath } from "../../bundle/write_bundle_file.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { cannot, CorruptError, UsageError } from "../../oci/error.ts";
import { createSigner } from "../../signature/signature_lines.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, PLATFORM_DETAILS, STORE_FLAGS, UPSTREAM_FLAGS } from "../command_line/flags.ts";
import { readPlatforms, readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { parseSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { checkInputs } from "../wiring/open_bundle.ts";
import { openAnyStore } from "../wiring/open_store.ts";
import { readImageKeys, readPrivateKeys } from "../wiring/read_keys.ts";
import { readExclusions } from "../wiring/read_exclusions.ts";
import { chooseK3sImages, readK3sImages } from "../wiring/read_k3s_images.ts";
import { packDeltas, readEffort } from "./pack_deltas.ts";
import { readPackageFlags, readRelease } from "../wiring/read_release.ts";
import { listInputs, listParts, refuseOverwrite } from "../wiring/refuse_overwrite.ts";
import { makeImagePackage, type PreparedPackage, preparePackage, refuseWarnings } from "./prepare_package.ts";
import { type OutputOptions, reportPack, writePack } from "./write_pack.ts";

/** `crpe pack` */
export const COMMAND: CommandDefinition = {
  interrupted: "what was downloaded, or written to a file, is kept; run the same command again to resume",
  details: [
    "KUBEPKG is a file, an http(s) URL, or - for standard input; JSON or YAML. It may also be plain Kubernetes objects,",
    "or a folder of them, with --name and --version: their images are added to the package.",
    "Platforms: --platform, else the annotation octohelm.tech/platforms, else $PLATFORMS, else linux/amd64 and",
    "linux/arm64, as far as the image has them. For linux/arm/v7, an image for v6 or v5 is packed where there is no",
    "other, as containerd would pull it.",
    PLATFORM_DETAILS,
    "Warnings name what will not work at the site: images that spec.images does not list, objects that no cluster takes.",
    "Run the same command again to resume an interrupted pack. Parts can be imported in any order.",
  ].join("\n"),
  arity: [0, 1],
  flags: [
    {
      name: "output",
      short: "o",
      value: "FILE",
      summary: "the bundle, or a folder for it [./<name>@<version>.tgz]; - for standard output",
    },
    { name: "outbox", summary: "keep the bundle in the data folder, from which the page and crpe outbox give it" },
    {
      name: "have",
      value: "FILE",
      isRepeatable: true,
      summary: "leave out the content listed in FILE: the output of crpe inventory, or one digest per line",
    },
    {
      name: "since",
      value: "PKG.tgz",
      isRepeatable: true,
      summary: "leave out the content of this earlier bundle, which the site has imported",
    },
    {
      name: "no-delta",
      summary: "pack changed layers whole, not as deltas against those that the site has",
    },
    FLAG.deltaEffort,
    {
      name: "split",
      value: "SIZE",
      summary: "write parts of at most SIZE, such as 700M: <name>@<version>.part1of3.tgz",
    },
    { name: "name", value: "NAME", summary: "name of the package, for plain Kubernetes objects" },
    { name: "version", value: "VERSION", summary: "version of the package, for plain Kubernetes objects" },
    {
      name: "namespace",
      value: "NAMESPACE",
      summary: "namespace of plain Kubernetes objects that name none [default]",
    },
    { name: "add-images", summary: "add the images that the objects use to spec.images" },
    { name: "sign-key", value: "FILE", isRepeatable: true, summary: "sign the bundle with this private key (PEM)" },
    FLAG.passphraseFile,
    FLAG.noReferrers,
    FLAG.verifyImages,
    { name: "strict", summary: "refuse a package that has warnings (exit status 3), write nothing" },
    { name: "k3s", value: "VERSION", summary: "add the system images of this k3s release, such as v1.34.1+k3s1" },
    {
      name: "k3s-images",
      value: "FILE|URL",
      summary: "the list of those images [k3s-images.txt of the release on github.com]",
    },
    ...STORE_FLAGS,
    FLAG.platform,
    ...UPSTREAM_FLAGS,
    FLAG.json,
  ],
  examples: [
    ["crpe pack line4.json --platform=linux/arm64", "pack a release into line4@1.0.0.tgz"],
    ["crpe pack deploy/ --name=web --version=1.2.0", "pack a folder of Kubernetes objects"],
    ["crpe pack line4.json --outbox", "pack it into the outbox of the page"],
    ["crpe pack line4.json --have=have.json --split=3900MiB", "leave out what the site has, for a FAT stick"],
  ],
  run: runPack,
};

async function runPack(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const options = readPackOptions(invocation, settings.data, io);
  const flags = readPackageFlags(invocation);
  const effort = readEffort(invocation);
  const k3sImages = chooseK3sImages(invocation, settings);
  // Before anything is fetched. The names of bundles in a folder are known only from the release.
  if (options.output !== undefined) {
    await refuseOutputs([await chooseBundlePath(options.output, "")], options, invocation);
  }
  const site = await readExclusions(invocation, io);
  const where = invocation.arguments[0];
  const { packages, isPlain } = where === undefined
    ? { packages: [makeImagePackage(k3sImages, flags)], isPlain: false }
    : await readRelease(where, flags, io);
  if (packages.length > 1 && k3sImages !== undefined) {
    throw new UsageError(cannot(`use --k3s with ${packages.length} packages`, "the images would be in each of them"));
  }
  if (settings.store === undefined) await warnOfData(settings.data, io, { isReading: settings.offline });
  const paths = await choosePaths(packages, options);
  await refuseOutputs(paths, options, invocation);
  const k3s = k3sImages && await readK3sImages(k3sImages, io);
  using _lease = settings.offline ? undefined : await takeWriteLease(settings.data);
  const { source, store } = await openAnyStore(settings, io, { warn: createWarning(io) });
  const named = readPlatforms(invocation.flag("platform"), "--platform");
  const keys = await readPrivateKeys(invocation.flags("sign-key"), invocation, createWarning(io));
  const choice: PackChoice = {
    sign: keys.length === 0 ? undefined : createSigner(keys),
    platforms: named,
    devicePlatforms: settings.platforms,
    have: site?.have,
    ...readReferrerChoice(invocation, source, await readImageKeys(invocation)),
  };
  const prepared: PreparedPackage[] = [];
  for (const kubepkg of packages) {
    const checks = { addsImages: isPlain || invocation.isSet("add-images"), isStrict: invocation.isSet("strict"), k3s };
    prepared.push(await preparePackage(kubepkg, { ...checks, prepare: (it) => preparePack(it, source, choice) }, io));
  }
  refuseWarnings(prepared, invocation.isSet("strict"), io);
  const results: object[] = [];
  const isQuiet = invocation.isSet("quiet");
  const deltas = effort === undefined ? undefined : { store, site, effort, isQuiet };
  for (const [i, { pack: planned, warnings, added }] of prepared.entries()) {
    using packed = await packDeltas(planned, deltas, io);
    const { pack, whole } = packed;
    const result = await writePack(pack, { ...options, path: paths[i]!, isQuiet }, io);
    const { kubepkg: _, ...summary } = result;
    results.push({
      ...summary,
      addedImages: added.length === 0 ? undefined : added,
      withoutDelta: whole.length === 0 ? undefined : whole,
      warnings,
    });
    if (paths[i] !== "-" && !options.asJson) {
      reportPack(result, { hasLeftOut: site !== undefined }, io);
      for (const { digest, reason } of whole) io.out(`whole layer ${digest}: ${reason}\n`);
    }
  }
  if (options.asJson) io.out(formatJson(results.length === 1 ? results[0] : results));
  return 0;
}

function readReferrerChoice(
  invocation: Invocation,
  catalog: ReferrerChoice["catalog"],
  keys: ImageKeys | undefined,
): Pick<PackChoice, "referrers"> {
  const isCarried = !invocation.isSet("no-referrers");
  return isCarried || keys !== undefined ? { referrers: { catalog, isCarried, keys } } : {};
}

function readPackOptions(invocation: Invocation, data: string, io: Io): OutputOptions {
  const [output, asJson, split] = [invocation.flag("output"), invocation.isSet("json"), invocation.flag("split")];
  const maxBytes = split === undefined ? undefined : parseSize(split, "--split", 1);
  if (output === "-" && io.isOutputTerminal) {
    throw new UsageError(cannot("pack to a terminal", "name the bundle with -o FILE, or pipe standard output"));
  }
  if (output === "-" && asJson) {
    throw new UsageError(cannot("use --json with -o -", "standard output carries the bundle"));
  }
  if (output === "-" && split !== undefined) {
    throw new UsageError(cannot("use --split with -o -", "standard output is one file", "name a file or a folder"));
  }
  const isKept = invocation.isSet("outbox");
  const other = ["output", "split"].find((flag) => invocation.flag(flag) !== undefined);
  if (isKept && other !== undefined) {
    throw new UsageError(cannot(`use --outbox with --${other}`, "the outbox keeps whole bundles, by their digests"));
  }
  const inputs = [...invocation.arguments, ...["have", "since"].flatMap((flag) => invocation.flags(flag))];
  checkInputs([...inputs, invocation.flag("k3s-images")], "pack with");
  return { output, maxBytes, asJson, outbox: isKept ? new Outbox(data) : undefined };
}

/** Refuses to replace what the command reads; see `refuseOverwrite`. */
async function refuseOutputs(
  paths: readonly string[],
  { maxBytes, outbox }: OutputOptions,
  invocation: Invocation,
): Promise<void> {
  if (outbox !== undefined) return;
  const parts = maxBytes === undefined ? [] : (await Promise.all(paths.map(listParts))).flat();
  await refuseOverwrite([...paths, ...parts], listInputs(invocation, COMMAND.flags));
}

async function choosePaths(packages: readonly KubePkg[], { output, outbox }: OutputOptions): Promise<string[]> {
  const names = packages.map(({ metadata, spec }) => `${metadata.name}@${spec.version}.tgz`);
  const paths = await Promise.all(names.map(async (name) => {
    return output === "-" ? output : outbox !== undefined ? name : await chooseBundlePath(output ?? name, name);
  }));
  if (packages.length > 1 && paths.some((path) => path === output)) {
    throw new UsageError(
      cannot(
        `write ${packages.length} packages to ${output}`,
        "each is a bundle of its own",
        "name a folder, such as out/",
      ),
    );
  }
  const twice = paths.find((path, i) => paths.indexOf(path) !== i);
  if (twice !== undefined) {
    throw new CorruptError(cannot("pack the list", `two of its packages would be ${twice}`, "pack them one at a time"));
  }
  return paths;
}
