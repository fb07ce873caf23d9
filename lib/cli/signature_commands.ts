import type { Command } from "./command_line/command.ts";
import { FLAG } from "./command_line/flags.ts";

/** `crpe keygen` */
export const KEYGEN_COMMAND: Command = {
  name: "keygen",
  operands: "FILE",
  summary: "create a key pair for signing bundles: FILE and FILE.pub",
  interrupted: "one of the files may be missing; remove the other one, and run the same command again",
  details: [
    "The keys are PEM, as openssl and cosign use them. The private key has no passphrase: openssl pkcs8 -topk8 adds one.",
    "An existing file is never replaced.",
  ].join("\n"),
  arity: [1, 1],
  flags: [
    { name: "algorithm", value: "NAME", summary: "ed25519 or p256 (ECDSA with SHA-256) [ed25519]" },
    FLAG.json,
  ],
  run: async (invocation, io) => (await import("./commands/keygen.ts")).runKeygen(invocation, io),
};

/** `crpe sign` */
export const SIGN_COMMAND: Command = {
  name: "sign",
  operands: "PKG.tgz…",
  summary: "sign bundles, or parts of one; other signatures are kept",
  interrupted: "the bundle is as it was; run the same command again to sign it",
  details: [
    "What is signed are the bytes of kubepkg.json, which names every digest. A signature that was made elsewhere, such as",
    "by an HSM or by cosign sign-blob, is attached with --signature and --public-key. The file is replaced when it is",
    "complete, unless -o names another one.",
  ].join("\n"),
  arity: [1, Infinity],
  flags: [
    { name: "key", value: "FILE", isRepeatable: true, summary: "a private key (PEM): Ed25519 or P-256" },
    FLAG.passphraseFile,
    { name: "signature", value: "FILE", summary: "a signature of kubepkg.json in Base64, to attach" },
    { name: "public-key", value: "FILE", summary: "the public key (PEM) that belongs to --signature" },
    { name: "output", short: "o", value: "FILE", summary: "write a file, or into a folder, instead of replacing" },
    FLAG.json,
  ],
  run: async (invocation, io) => (await import("./commands/sign.ts")).runSign(invocation, io),
};
