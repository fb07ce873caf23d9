import type { Command } from "./command_line/command.ts";
import { FLAG, HANDOVER_FLAGS, isHandedOver, UPSTREAM_FLAGS } from "./command_line/flags.ts";

/** `crpe inspect` */
export const INSPECT_COMMAND: Command = {
  name: "inspect",
  operands: "PKG.tgz",
  summary: "show the content of a bundle, reading only its first entry",
  interrupted: "nothing was changed",
  arity: [1, 1],
  flags: [
    { name: "signatures", summary: "show the signatures alone, each verified with the key that it names" },
    { name: "sbom", summary: "print the SBOMs of the images that the bundle carries (SPDX, CycloneDX)" },
    { ...FLAG.trustedKeys, summary: "say whether these public keys, or a policy, make the bundle trusted" },
    FLAG.json,
  ],
  run: async (invocation, io) => (await import("./commands/inspect.ts")).runInspect(invocation, io),
};

/** `crpe verify` */
export const VERIFY_COMMAND: Command = {
  name: "verify",
  operands: "[PKG.tgz]",
  summary: "re-hash all content of a bundle, or of the store, and list what is broken",
  interrupted: "nothing is left half repaired; run the same command again to begin anew",
  details: [
    "The exit status is 4 if something is broken. --repair moves corrupt blobs to the folder quarantine/, fetches them",
    "from their upstream or from the bundles given with --from, and rebuilds links and records. Without it nothing is",
    "changed.",
  ].join("\n"),
  arity: [0, 1],
  flags: [
    FLAG.data,
    FLAG.store,
    { name: "repair", summary: "move corrupt content and records aside; fetch, or rebuild them" },
    {
      name: "from",
      value: "PKG.tgz",
      isRepeatable: true,
      summary: "a bundle to take missing content from (with --repair)",
    },
    ...UPSTREAM_FLAGS,
    FLAG.json,
  ],
  run: async (invocation, io) => (await import("./commands/verify.ts")).runVerify(invocation, io),
};

/** `crpe import` */
export const IMPORT_COMMAND: Command = {
  name: "import",
  operands: "PKG.tgz…",
  summary: "import bundles into this machine's store",
  interrupted: "blobs that were written are kept; run the same command again to resume",
  details: [
    "PKG.tgz is a file, or - for standard input; gzip, zstd or plain tar. A version lower than the installed one, or",
    "the same version with different content, is refused (exit status 3) unless --force is given.",
    "The parts of a split bundle can be imported in any order, over days; the last one installs the package.",
  ].join("\n"),
  arity: [1, Infinity],
  flags: [
    FLAG.data,
    FLAG.store,
    ...HANDOVER_FLAGS,
    FLAG.trustedKeys,
    FLAG.firstUse,
    FLAG.verifyImages,
    FLAG.pruneData,
    FLAG.imagesDir,
    { ...FLAG.platform, summary: "platforms of the archive in --images-dir [$PLATFORMS, else this machine's]" },
    { name: "dry-run", summary: "print what would be done, write nothing" },
    FLAG.force,
    FLAG.json,
  ],
  usesKubectl: isHandedOver,
  run: async (invocation, io) => (await import("./commands/import.ts")).runImport(invocation, io),
};

/** `crpe push` */
export const PUSH_COMMAND: Command = {
  name: "push",
  operands: "PKG.tgz…",
  summary: "send bundles to an agent: only its missing blobs, resuming after an interruption",
  interrupted: "the agent keeps what it received; run the same command again to resume",
  details: [
    "URL is the agent's address, such as https://192.168.1.20:36060; HOST[:PORT] is tried with https first. FILE is a copy",
    "of the agent's token file: the one given to the agent, or else the one that it names in its log at the start. A version",
    "lower than the installed one, or the same version with different content, is refused (exit status 3) unless --force is",
    "given. If the data folder has the release and an older one, the release is packed again, with changed layers as deltas",
    "against those that the agent has. A signed bundle is sent as it is, unless --sign-key is there to sign it again.",
  ].join("\n"),
  arity: [1, Infinity],
  flags: [
    { name: "to", value: "URL", summary: "the agent" },
    FLAG.agentToken,
    FLAG.fingerprint,
    FLAG.agentCa,
    FLAG.insecureHttp,
    FLAG.data,
    { name: "no-delta", summary: "send the bundle as it is" },
    FLAG.deltaEffort,
    {
      name: "sign-key",
      value: "FILE",
      isRepeatable: true,
      summary: "sign what is packed again with this private key (PEM)",
    },
    FLAG.passphraseFile,
    FLAG.pruneData,
    { name: "dry-run", summary: "print what would be done, send nothing" },
    FLAG.force,
    FLAG.json,
  ],
  run: async (invocation, io) => (await import("./commands/push.ts")).runPush(invocation, io),
};
