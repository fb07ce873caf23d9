import type { Command } from "./command.ts";
import { FLAG, UPSTREAM_FLAGS } from "./flags.ts";

const PLATFORM_DETAILS = `Platforms are written as linux/amd64, linux/arm64 or linux/arm/v7.`;

/** Every subcommand, in the order of the help. What a command needs is loaded when it runs. */
export const COMMANDS: readonly Command[] = [
  {
    name: "registry",
    operands: "",
    summary: "serve the pull-only registry, pulling through and caching",
    details: [
      "Clients pull HOST/PATH:TAG as ADDRESS/HOST/PATH:TAG, or use this registry as a mirror of HOST.",
      "Without --upstream the well-known public registries are pulled through under their own names.",
    ].join("\n"),
    arity: [0, 0],
    flags: [FLAG.data, FLAG.addr, ...UPSTREAM_FLAGS, FLAG.tagTtl, FLAG.cacheMax, FLAG.logFormat],
    run: async (invocation, io) => (await import("./registry_command.ts")).runRegistry(invocation, io),
  },
  {
    name: "agent",
    operands: "",
    summary: "serve the registry, and take bundles over HTTP",
    details: [
      "The registry, and an API that installs bundles: crpe push, or curl -T PKG.tgz ADDRESS/kubepkgs with the token.",
      "An upstream is contacted only where --upstream or the configuration names one.",
    ].join("\n"),
    arity: [0, 0],
    flags: [
      FLAG.data,
      { ...FLAG.addr, summary: "where to listen [:36060; $PORT changes the port]" },
      FLAG.manifestsDir,
      {
        name: "token-file",
        value: "FILE",
        summary: "the token of those who may import [made at the first start, kept in the data folder]",
      },
      { name: "node-id", value: "ID", summary: "what this node is called [$DEVICE_ID, else the host name]" },
      { ...FLAG.platform, summary: "platforms of the node, comma-separated [$PLATFORMS, else this machine's]" },
      { name: "max-bundle", value: "SIZE", summary: "how large a bundle may be, such as 20GiB [unlimited]" },
      ...UPSTREAM_FLAGS,
      FLAG.tagTtl,
      FLAG.cacheMax,
      FLAG.logFormat,
    ],
    run: async (invocation, io) => (await import("./agent_command.ts")).runAgent(invocation, io),
  },
  {
    name: "pull",
    operands: "IMAGE…",
    summary: "bring images into the store",
    details: `Without --platform all that an image's index lists is brought.\n${PLATFORM_DETAILS}`,
    arity: [1, Infinity],
    flags: [FLAG.data, FLAG.platform, ...UPSTREAM_FLAGS, FLAG.json],
    run: async (invocation, io) => (await import("./pull_command.ts")).runPull(invocation, io),
  },
  {
    name: "pack",
    operands: "KUBEPKG",
    summary: "make a bundle of a release: its manifests and every blob of its images",
    details: [
      "KUBEPKG is a file, an http(s) URL, or - for standard input; JSON or YAML.",
      "Platforms: --platform, else the annotation octohelm.tech/platforms, else $PLATFORMS, else those of",
      "linux/amd64,linux/arm64 that the image has.",
      PLATFORM_DETAILS,
    ].join("\n"),
    arity: [1, 1],
    flags: [
      {
        name: "output",
        short: "o",
        value: "FILE",
        summary: "the bundle, or a folder for it [<name>@<version>.tgz here]; - is standard output",
      },
      FLAG.data,
      FLAG.platform,
      ...UPSTREAM_FLAGS,
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./pack_command.ts")).runPack(invocation, io),
  },
  {
    name: "inspect",
    operands: "PKG.tgz",
    summary: "show what a bundle holds, reading only its first entry",
    arity: [1, 1],
    flags: [FLAG.json],
    run: async (invocation, io) => (await import("./inspect_command.ts")).runInspect(invocation, io),
  },
  {
    name: "verify",
    operands: "[PKG.tgz]",
    summary: "re-hash everything in a bundle, or in the store, and name what is broken",
    arity: [0, 1],
    flags: [FLAG.data, FLAG.json],
    run: async (invocation, io) => (await import("./verify_command.ts")).runVerify(invocation, io),
  },
  {
    name: "import",
    operands: "PKG.tgz…",
    summary: "import bundles into this machine's store",
    details: [
      "PKG.tgz may be - for standard input; gzip, zstd or plain tar. A lower version than the installed one, or the",
      "same version with other content, is refused (exit status 3) unless --force is given.",
    ].join("\n"),
    arity: [1, Infinity],
    flags: [
      FLAG.data,
      FLAG.manifestsDir,
      { name: "dry-run", summary: "say what would happen, write nothing" },
      { name: "force", summary: "allow a downgrade, or a changed re-issue of the same version" },
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./import_command.ts")).runImport(invocation, io),
  },
  {
    name: "gc",
    operands: "",
    summary: "remove content that nothing refers to",
    details: [
      "What a tag, a manifest of a repository, or an installed package (or one that it replaced) refers to stays. It",
      "may run beside crpe registry; while an import, a pull or a pack is at work it does nothing and says so.",
    ].join("\n"),
    arity: [0, 0],
    flags: [
      FLAG.data,
      { name: "untagged", summary: "remove also manifests that no tag and no package refers to" },
      { name: "dry-run", summary: "say what would be removed, remove nothing" },
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./gc_command.ts")).runGc(invocation, io),
  },
  {
    name: "images",
    operands: "",
    summary: "list the images in the store",
    arity: [0, 0],
    flags: [FLAG.data, FLAG.json],
    run: async (invocation, io) => (await import("./images_command.ts")).runImages(invocation, io),
  },
  {
    name: "packages",
    operands: "",
    summary: "list the packages that are installed",
    arity: [0, 0],
    flags: [FLAG.data, FLAG.json],
    run: async (invocation, io) => (await import("./packages_command.ts")).runPackages(invocation, io),
  },
];
