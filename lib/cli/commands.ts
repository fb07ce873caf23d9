import { AGENT_COMMAND } from "./agent_command.ts";
import { IMPORT_COMMAND, INSPECT_COMMAND, PUSH_COMMAND, VERIFY_COMMAND } from "./bundle_commands.ts";
import type { Command } from "./command_line/command.ts";
import { FLAG, SERVE_FLAGS, UPSTREAM_FLAGS } from "./command_line/flags.ts";
import {
  COPY_COMMAND,
  IMAGES_COMMAND,
  LOAD_COMMAND,
  PULL_COMMAND,
  SAVE_COMMAND,
  TAGS_COMMAND,
} from "./image_commands.ts";
import { OUTBOX_COMMAND, PACK_COMMAND } from "./pack_command.ts";
import { KEYGEN_COMMAND, SIGN_COMMAND } from "./signature_commands.ts";
import { MANIFESTS_COMMAND, PACKAGES_COMMAND } from "./packages_command.ts";
import { RECEIPT_COMMAND } from "./receipt_command.ts";
import { TOKEN_COMMAND } from "./token_command.ts";

/** All commands, in the order of the help. The modules of a command are loaded when it runs. */
export const COMMANDS: readonly Command[] = [
  {
    name: "registry",
    operands: "",
    summary: "serve the pull-only registry with its pull-through cache",
    interrupted: undefined,
    details: [
      "Clients pull HOST/PATH:TAG as ADDRESS/HOST/PATH:TAG, or use this registry as a mirror of HOST.",
      "Without --upstream, the well-known public registries are pulled through under their own names.",
    ].join("\n"),
    arity: [0, 0],
    flags: [
      FLAG.data,
      FLAG.store,
      FLAG.addr,
      {
        ...FLAG.trustedKeys,
        summary: "the page sends only bundles signed with these public keys (PEM), or as a policy says",
      },
      ...UPSTREAM_FLAGS,
      ...SERVE_FLAGS,
    ],
    run: async (invocation, io) => (await import("./commands/registry.ts")).runRegistry(invocation, io),
  },
  AGENT_COMMAND,
  PULL_COMMAND,
  TAGS_COMMAND,
  PACK_COMMAND,
  OUTBOX_COMMAND,
  INSPECT_COMMAND,
  VERIFY_COMMAND,
  KEYGEN_COMMAND,
  SIGN_COMMAND,
  IMPORT_COMMAND,
  PUSH_COMMAND,
  {
    name: "inventory",
    operands: "",
    summary: "list the digests of the content in this machine's store, or in an agent's",
    interrupted: "nothing was changed",
    details: "The list is for crpe pack --have, which leaves content out of a bundle that the site already has.",
    arity: [0, 0],
    flags: [
      FLAG.data,
      FLAG.store,
      { name: "to", value: "URL", summary: "list the content of the agent at URL, such as https://node1:36061" },
      FLAG.fingerprint,
      FLAG.agentCa,
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./commands/inventory.ts")).runInventory(invocation, io),
  },
  {
    name: "gc",
    operands: "",
    summary: "remove unreferenced content",
    interrupted: "content that was not removed yet stays in use; run the same command again",
    details: [
      "Content stays if a tag, a manifest of a repository, or an installed package (or one that it replaced) refers to it.",
      "crpe gc can run while crpe registry serves; while an import, a pull or a pack is running, it fails without changes.",
      "In a bucket (--store), it can run at any time; what is younger than a day stays.",
    ].join("\n"),
    arity: [0, 0],
    flags: [
      FLAG.data,
      FLAG.store,
      {
        name: "partial",
        summary: "also remove partial files of downloads and of packs in the outbox that are not in progress",
      },
      { name: "untagged", summary: "also remove manifests that no tag and no package refers to" },
      FLAG.pendingTtl,
      { name: "dry-run", summary: "print what would be removed, remove nothing" },
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./commands/gc.ts")).runGc(invocation, io),
  },
  IMAGES_COMMAND,
  LOAD_COMMAND,
  SAVE_COMMAND,
  COPY_COMMAND,
  PACKAGES_COMMAND,
  MANIFESTS_COMMAND,
  RECEIPT_COMMAND,
  TOKEN_COMMAND,
  {
    name: "nodes",
    operands: "[HOST[:PORT]…]",
    summary: "find the agents on the local network",
    interrupted: "nothing was changed",
    details: [
      "Without HOST, every address of the /24 networks in which this machine has a private IPv4 address is asked once, at",
      "most 64 at a time. The exit status is 1 if a named HOST does not answer as an agent.",
    ].join("\n"),
    arity: [0, 256],
    flags: [
      {
        name: "subnet",
        value: "CIDR",
        summary: "ask these addresses instead, such as 10.1.2.0/24; at most a /24",
      },
      { name: "port", value: "PORT", summary: "port of the agents [36060]" },
      { ...FLAG.data, summary: "the data folder, which has the certificates that are known" },
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./commands/nodes.ts")).runNodes(invocation, io),
  },
  {
    name: "version",
    operands: "",
    summary: "print the version, the commit and the runtime",
    interrupted: "nothing was changed",
    arity: [0, 0],
    flags: [FLAG.json],
    run: async (invocation, io) => (await import("./commands/version.ts")).runVersion(invocation, io),
  },
  {
    name: "upgrade",
    operands: "",
    summary: "replace this executable with that of a release, after checking checksum and signature",
    interrupted: "the executable is the old one or the new one; run the same command again",
    details: [
      "The files of the release are in a folder, or below a URL: SHA256SUMS, SHA256SUMS.sig, and the npm package of this",
      "platform. An executable of a signed release knows its key; others need --key. An older version is refused (exit status",
      "3). The old executable is kept as crpe.old beside the new one. No program is run.",
    ].join("\n"),
    arity: [0, 0],
    flags: [
      { name: "from", value: "DIR|URL", summary: "the files of the release" },
      {
        name: "key",
        value: "FILE",
        summary: "the public key (PEM) that must have signed it [the key of this executable]",
      },
      { name: "dry-run", summary: "check the signature and print what would be done, change nothing" },
      { name: "force", summary: "allow an older or the same version, and an executable of dpkg or npm" },
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./commands/upgrade.ts")).runUpgrade(invocation, io),
  },
  {
    name: "mirror-config",
    operands: "CLIENT",
    values: ["k3s", "containerd", "crio", "podman", "docker"],
    summary: "print or install the configuration that makes a client pull from crpe",
    interrupted: "files that were changed have a backup; run the same command again, or with --remove to restore them",
    details: [
      "CLIENT is k3s, containerd, crio, podman or docker. Without --write or --remove, nothing is changed: the client's",
      "configuration is printed. If the mirror fails, clients fall back to the registry itself.",
    ].join("\n"),
    arity: [1, 1],
    flags: [
      { name: "to", value: "URL", summary: "address of crpe, as seen from the client [http://127.0.0.1:6060]" },
      {
        name: "host",
        value: "HOST",
        isRepeatable: true,
        summary: "pull this registry's images from crpe [all; the well-known ones for crio and podman]",
      },
      { name: "only", summary: "never fall back to the registry itself (containerd, crio, podman)" },
      {
        name: "ca-file",
        value: "FILE",
        summary: "CA certificates (PEM) that the client must trust for an https address",
      },
      { name: "write", summary: "merge it into the client's files, and keep a backup of them" },
      { name: "remove", summary: "restore the files as they were before the first --write" },
      { name: "root", value: "DIR", summary: "root folder of the client's file system [/]" },
      {
        name: "path",
        value: "PATH",
        summary: "the client's file, or containerd's certs.d, if not the default one",
      },
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./commands/mirror_config.ts")).runMirrorConfig(invocation, io),
  },
  {
    name: "doctor",
    operands: "[IMAGE]",
    summary: "find the first broken step (data folder, clock, upstreams, mirrors), or trace one image",
    interrupted: "nothing was changed",
    details: [
      "With IMAGE, the image is traced: how its name is parsed, its registry, tag, manifests, platforms, and whether each",
      "blob is in the store or at the upstream. Nothing is stored. The exit status is 1 if something is broken.",
    ].join("\n"),
    arity: [0, 1],
    flags: [
      FLAG.data,
      ...UPSTREAM_FLAGS,
      { name: "root", value: "DIR", summary: "root folder of this machine's file system, for its clients' files [/]" },
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./commands/doctor.ts")).runDoctor(invocation, io),
  },
  {
    name: "status",
    operands: "[URL]",
    summary: "show what a running server does: connections, hits and misses, sizes, upstreams",
    interrupted: "nothing was changed",
    details: "URL is the address of a registry or an agent. The numbers are those of its /metrics.",
    arity: [0, 1],
    flags: [
      { name: "watch", summary: "show it again every two seconds, until ctrl-C" },
      FLAG.fingerprint,
      { ...FLAG.agentCa, summary: "CA certificates (PEM) to trust for an https server" },
      FLAG.json,
    ],
    run: async (invocation, io) => (await import("./commands/status.ts")).runStatus(invocation, io),
  },
  {
    name: "completion",
    operands: "SHELL",
    values: ["bash", "zsh", "fish"],
    summary: "print the completion of crpe's command line for bash, zsh or fish",
    interrupted: "nothing was changed",
    details: "The completion runs without crpe: print it again after an update. The archive of a release has it too.",
    arity: [1, 1],
    flags: [],
    run: async (invocation, io) => {
      return (await import("./commands/completion.ts")).runCompletion(invocation, io, COMMANDS);
    },
  },
];
