import { writeAll } from "../../files/write_all.ts";
import { createKeyPair, parsePublicKey } from "../../signature/keys.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import { readAlgorithm } from "../command_line/read_algorithm.ts";
import type { Io } from "../console/io.ts";
import { formatJson } from "../console/table.ts";
import { cannot, CrpeError } from "../../oci/error.ts";

/** `crpe keygen` */
export const COMMAND: CommandDefinition = {
  interrupted: "one of the files may be missing; remove the other one, and run the same command again",
  details: [
    "The keys are PEM, as openssl and cosign use them. The private key has no passphrase: openssl pkcs8 -topk8 adds one.",
    "An existing file is never replaced.",
  ].join("\n"),
  flags: [
    { name: "algorithm", value: "NAME", summary: "ed25519 or p256 (ECDSA with SHA-256) [ed25519]" },
    FLAG.json,
  ],
  examples: [["crpe keygen desk", "create desk and desk.pub"]],
  run: runKeygen,
};

async function runKeygen(invocation: Invocation, io: Io): Promise<number> {
  const path = invocation.arguments[0]!;
  const algorithm = readAlgorithm(invocation.flag("algorithm"));
  const [privatePath, publicPath] = [path, `${path}.pub`];
  const pair = createKeyPair(algorithm);
  const { id } = parsePublicKey(pair.publicKey, publicPath);
  // Existing keys are never replaced: what they signed could not be verified any more.
  await create(privatePath, pair.privateKey, 0o600);
  try {
    await create(publicPath, pair.publicKey, 0o644);
  } catch (error) {
    await Deno.remove(privatePath);
    throw error;
  }
  io.out(
    invocation.isSet("json")
      ? formatJson({ privateKey: privatePath, publicKey: publicPath, algorithm, id })
      : `${privatePath}: the private key, keep it secret\n${publicPath}: the public key ${id}\n`,
  );
  return 0;
}

async function create(path: string, text: string, mode: number): Promise<void> {
  try {
    using file = await Deno.open(path, { write: true, createNew: true, mode });
    await writeAll(file, new TextEncoder().encode(text));
    await file.sync();
  } catch (cause) {
    if (!(cause instanceof Deno.errors.AlreadyExists)) throw cause;
    throw new CrpeError(cannot("create the keys", `${path} exists already; keys are never replaced`), { cause });
  }
}
