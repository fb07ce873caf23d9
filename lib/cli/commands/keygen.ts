import { createKeyPair, parsePublicKey } from "../../signature/keys.ts";
import type { Invocation } from "../command_line/command.ts";
import { readAlgorithm } from "../command_line/read_algorithm.ts";
import type { Io } from "../console/io.ts";
import { formatJson } from "../console/table.ts";

/** `crpe keygen` */
export async function runKeygen(invocation: Invocation, io: Io): Promise<number> {
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
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    await file.sync();
  } catch (cause) {
    if (!(cause instanceof Deno.errors.AlreadyExists)) throw cause;
    throw new Error(`Cannot create the keys: ${path} exists already; keys are never replaced`, { cause });
  }
}
