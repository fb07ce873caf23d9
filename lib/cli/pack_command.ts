import type { Command } from "./command_line/command.ts";
import { FLAG, UPSTREAM_FLAGS } from "./command_line/flags.ts";

/** How platforms are written, for the help of commands that take them. */
export const PLATFORM_DETAILS = "Platforms are written as linux/amd64, linux/arm64 or linux/arm/v7.";

/** `crpe pack`: its flags and help. */
export const PACK_COMMAND: Command = {
  name: "pack",
  operands: "KUBEPKG",
  summary: "pack a release into a bundle: its manifests and every blob of its images",
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
      value: "FILE",
      summary: "the list of those images, a file or URL [k3s-images.txt of the release on github.com]",
    },
    FLAG.data,
    FLAG.store,
    FLAG.platform,
    ...UPSTREAM_FLAGS,
    FLAG.json,
  ],
  run: async (invocation, io) => (await import("./commands/pack.ts")).runPack(invocation, io),
};

/** `crpe outbox` and its subcommands. */
export const OUTBOX_COMMAND: Command = {
  name: "outbox",
  operands: "",
  interrupted: "nothing was changed",
  summary: "list the bundles that were packed with crpe pack --outbox; print the path of one, or remove some",
  details: [
    "BUNDLE is NAME@VERSION, or the digest of the file, of which six digits are enough. Of several bundles of the same",
    "version it is the latest.",
  ].join("\n"),
  arity: [0, 0],
  flags: [FLAG.data, FLAG.json],
  subcommands: [
    {
      name: "path",
      operands: "BUNDLE",
      interrupted: "nothing was changed",
      summary: "print the path of a bundle's file, for crpe push, crpe inspect or cp",
      arity: [1, 1],
      flags: [FLAG.data],
      run: async (invocation, io) => (await import("./commands/outbox.ts")).runOutboxPath(invocation, io),
    },
    {
      name: "rm",
      operands: "BUNDLE…",
      interrupted: "bundles that were not removed yet stay; run the same command again",
      summary: "remove bundles from the outbox",
      arity: [1, Infinity],
      flags: [FLAG.data, FLAG.json],
      run: async (invocation, io) => (await import("./commands/outbox.ts")).runRemoveFromOutbox(invocation, io),
    },
  ],
  run: async (invocation, io) => (await import("./commands/outbox.ts")).runOutbox(invocation, io),
};
