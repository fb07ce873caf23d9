/**
 * Signs the files of a release, and verifies them. Keys are PEM files (Ed25519), as `openssl` and `cosign` use them.
 *
 *   deno run -A scripts/sign.ts keygen FILE                   writes FILE (private, mode 0600) and FILE.pub
 *   deno run -A scripts/sign.ts public --key=FILE OUTPUT      writes the public key of a private one to OUTPUT
 *   deno run -A scripts/sign.ts sign --key=FILE INPUT         writes INPUT.sig (Base64)
 *   deno run -A scripts/sign.ts verify --key=FILE.pub INPUT   compares INPUT with INPUT.sig
 */
import { parseArgs } from "@std/cli/parse-args";
import { signDetached, verifyDetached } from "../lib/signature/detached_signature.ts";
import { createKeyPair, formatPublicKey, parsePrivateKey, parsePublicKey } from "../lib/signature/keys.ts";

const { _: [command, path], key } = parseArgs(Deno.args, { string: ["key", "_"] }) as {
  _: string[];
  key?: string;
};

async function run(): Promise<string> {
  if (path === undefined) {
    throw new TypeError(
      "Usage: sign.ts keygen FILE | public --key=FILE OUTPUT | sign --key=FILE INPUT | verify --key=FILE INPUT",
    );
  }
  if (command === "keygen") {
    const pair = createKeyPair();
    // An existing key is never replaced.
    await Deno.writeTextFile(path, pair.privateKey, { createNew: true, mode: 0o600 });
    await Deno.writeTextFile(`${path}.pub`, pair.publicKey, { createNew: true });
    return `${path}, ${path}.pub: key ${(parsePublicKey(pair.publicKey, path)).id}`;
  }
  if (key === undefined) throw new TypeError(`Cannot ${command}: --key=FILE is missing`);
  if (command === "public") {
    const publicKey = formatPublicKey((await parsePrivateKey(await Deno.readTextFile(key), { what: key })).public);
    await Deno.writeTextFile(path, publicKey);
    return `${path}: key ${(parsePublicKey(publicKey, path)).id}`;
  }
  const [pem, bytes] = [await Deno.readTextFile(key), await Deno.readFile(path)];
  if (command === "sign") {
    const signing = await parsePrivateKey(pem, { what: key });
    await Deno.writeTextFile(`${path}.sig`, `${signDetached(bytes, signing)}\n`);
    return `${path}.sig: signed with key ${signing.public.id}`;
  }
  if (command !== "verify") throw new TypeError(`Cannot ${command}: the commands are keygen, public, sign and verify`);
  const verifying = parsePublicKey(pem, key);
  if (verifyDetached(bytes, await Deno.readTextFile(`${path}.sig`), verifying)) {
    return `${path}: signed with key ${verifying.id}`;
  }
  throw new TypeError(`Cannot verify ${path}: ${path}.sig is not a signature of it with key ${verifying.id}`);
}

try {
  console.log(await run());
} catch (error) {
  console.error((error as Error).message);
  Deno.exitCode = error instanceof TypeError && error.message.startsWith("Usage") ? 2 : 1;
}
