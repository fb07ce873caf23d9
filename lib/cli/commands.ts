import type { Command } from "./command.ts";
import { FLAG, HANDOVER_FLAGS, SERVE_FLAGS, UPSTREAM_FLAGS } from "./flags.ts";
import { PACKAGES_COMMAND } from "./packages_commands.ts";

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
    flags: [
      FLAG.data,
      FLAG.addr,
      ...UPSTREAM_FLAGS,
      ...SERVE_FLAGS,
    ],
    run: async (invocation, io) => (await import("./registry_command.ts")).runRegistry(invocation, io),
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
      ...HANDOVER_FLAGS,
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
  PACKAGES_COMMAND,
  {
    name: "nodes",
    operands: "[HOST[:PORT]…]",
    summary: "find the agents on the local network",
    details: [
      "Without HOST every address of the /24 networks that this machine has a private IPv4 address in is asked once, at",
      "most 64 at a time. A HOST that is named and does not answer as an agent makes the exit status 1.",
    ].join("\n"),
    arity: [0, 256],
    flags: [
      {
        name: "subnet",
        value: "CIDR",
        summary: "ask these addresses instead, such as 10.1.2.0/24; /24 is the largest",
      },
      { name: "port", value: "PORT", summary: "where agents listen [36060]" },
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./nodes_command.ts")).runNodes(invocation, io),
  },
  {
    name: "version",
    operands: "",
    summary: "say which crpe this is: version, commit, runtime",
    arity: [0, 0],
    flags: [FLAG.json],
    run: async (invocation, io) => (await import("./version_command.ts")).runVersion(invocation, io),
  },
  {
    name: "mirror-config",
    operands: "CLIENT",
    summary: "print or install the configuration that makes a client pull from crpe",
    details: [
      "CLIENT is k3s, containerd, crio, podman or docker. Without --write or --remove nothing is changed: what the client",
      "has to be told is printed. Where the mirror fails, clients go on to the registry itself.",
    ].join("\n"),
    arity: [1, 1],
    flags: [
      { name: "to", value: "URL", summary: "where crpe is, as the client sees it [http://127.0.0.1:6060]" },
      {
        name: "host",
        value: "HOST",
        isRepeatable: true,
        summary: "pull this registry's images from crpe [all; the well-known ones for crio and podman]",
      },
      { name: "only", summary: "never go on to the registry itself (containerd, crio, podman)" },
      { name: "write", summary: "install it, beside what the client's files say already, with a backup of them" },
      { name: "remove", summary: "put back what was there before the first --write" },
      { name: "root", value: "DIR", summary: "the folder in which the client's / is [/]" },
      {
        name: "path",
        value: "PATH",
        summary: "the client's file, or containerd's certs.d, where it is not the usual one",
      },
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./mirror_config_command.ts")).runMirrorConfig(invocation, io),
  },
  {
    name: "doctor",
    operands: "[IMAGE]",
    summary: "say which step is broken: data folder, clock, upstreams, this machine's mirrors; or trace one image",
    details: [
      "With IMAGE its whole way is followed: how its name is understood, its registry, tag, manifests, platforms, and",
      "whether each blob is here or there. Nothing is stored. Exit status 1 when something is broken.",
    ].join("\n"),
    arity: [0, 1],
    flags: [
      FLAG.data,
      ...UPSTREAM_FLAGS,
      { name: "root", value: "DIR", summary: "the folder in which this machine's / is, for its clients' files [/]" },
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./doctor_command.ts")).runDoctor(invocation, io),
  },
];
