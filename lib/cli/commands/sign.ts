import { readText } from "../../files/read_text.ts";
import { signBundle } from "../../bundle/sign_bundle.ts";
import { chooseBundlePath, writeBundleFile } from "../../bundle/write_bundle_file.ts";
import { attachSignature, type SignatureLine, signDocument } from "../../signature/signature_lines.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { baseName } from "../console/progress.ts";
import { runSeveral, type SeveralItem } from "../console/several.ts";
import { openBundle } from "../wiring/open_bundle.ts";
import { readPrivateKeys, readPublicKey } from "../wiring/read_keys.ts";
import { listInputs, refuseOverwrite } from "../wiring/refuse_overwrite.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** `crpe sign` */
export const COMMAND: CommandDefinition = {
  interrupted: "the bundle is as it was; run the same command again to sign it",
  details: [
    "What is signed are the bytes of kubepkg.json, which names every digest. A signature that was made elsewhere, such as",
    "by an HSM or by cosign sign-blob, is attached with --signature and --public-key. The file is replaced when it is",
    "complete, unless -o names another one.",
  ].join("\n"),
  flags: [
    { name: "key", value: "FILE", isRepeatable: true, summary: "a private key (PEM): Ed25519 or P-256" },
    FLAG.passphraseFile,
    { name: "signature", value: "FILE", summary: "a signature of kubepkg.json in Base64, to attach" },
    { name: "public-key", value: "FILE", summary: "the public key (PEM) that belongs to --signature" },
    { name: "output", short: "o", value: "FILE", summary: "write a file, or into a folder, instead of replacing" },
    FLAG.json,
  ],
  examples: [
    ["crpe sign line4@1.0.0.tgz --key=desk", "sign a bundle"],
    [
      "crpe sign line4@1.0.0.tgz --signature=line4.sig --public-key=hsm.pub",
      "attach a signature that was made elsewhere",
    ],
  ],
  run: runSign,
};

async function runSign(invocation: Invocation, io: Io): Promise<number> {
  const files = invocation.arguments;
  const [signature, publicKey, output] = ["signature", "public-key", "output"].map((name) => invocation.flag(name));
  const keyPaths = invocation.flags("key");
  if ((signature === undefined) !== (publicKey === undefined)) {
    throw new UsageError(cannot("sign", "--signature FILE and --public-key FILE belong together"));
  }
  if ((signature === undefined) === (keyPaths.length === 0)) {
    throw new UsageError(cannot("sign", "name a private key with --key FILE, or a signature with --signature FILE"));
  }
  if (files.includes("-")) throw new UsageError(cannot("sign standard input", "name a file"));
  if (signature !== undefined && files.length > 1) {
    throw new UsageError(cannot("use --signature with several bundles", "a signature is of one"));
  }
  const keys = await readPrivateKeys(keyPaths, invocation, createWarning(io));
  const attached = signature === undefined
    ? undefined
    : { signature: await readText(signature), publicKey: await readPublicKey(publicKey!) };
  const sign = (document: Uint8Array): SignatureLine[] =>
    attached === undefined
      ? keys.map((key) => signDocument(document, key))
      : [attachSignature(document, attached, signature!)];
  const paths = await Promise.all(
    files.map((it) => output === undefined ? it : chooseBundlePath(output, baseName(it))),
  );
  const twice = paths.find((path, i) => output !== undefined && paths.indexOf(path) !== i);
  if (twice !== undefined) {
    throw new UsageError(cannot("sign", `several of the bundles would be ${twice}`, "sign them one at a time"));
  }
  // A bundle may be replaced by itself with a signature, but not by another one; nor may a key be replaced.
  for (const [i, path] of paths.entries()) {
    const operands = output === undefined ? [] : files.filter((_, other) => other !== i);
    await refuseOverwrite([path], listInputs(invocation, COMMAND.flags, { operands }));
  }
  const run = async (where: string, { report }: SeveralItem) => {
    const path = paths[files.indexOf(where)]!;
    const lines = await writeBundleFile(
      path,
      async (to) => await signBundle(await openBundle(where, io), to, { what: where, sign }),
    );
    const added = attached === undefined ? keys.map((key) => key.public.id) : [attached.publicKey.id];
    const signedBy = lines.map(({ keyId }) => keyId);
    report({ file: path, signedBy }, `${path}: signed with key ${added.join(", ")}\n`);
  };
  return await runSeveral(files, { invocation, io }, run);
}
