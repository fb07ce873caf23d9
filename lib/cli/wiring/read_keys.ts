// @ts-types="../../std/yaml.d.ts"
import { parse as parseYaml } from "@std/yaml";
import { readText } from "../../files/read_text.ts";
import type { ImageKeys } from "../../bundle/verify_images.ts";
import { parentOf } from "../../files/parent_of.ts";
import type { PackageRecords } from "../../install/package_records.ts";
import type { SiteTrust } from "../../install/trust.ts";
import { parsePrivateKey, parsePublicKey, type PrivateKey, type PublicKey } from "../../signature/keys.ts";
import { MAX_TRUST_FILE, parseTrustedPem, parseTrustEntries } from "../../signature/parse_trust.ts";
import { type TrustEntry, TrustPolicy } from "../../signature/trust_policy.ts";
import type { Invocation } from "../command_line/command.ts";
import type { ConfigFile } from "../command_line/config_file.ts";
import { cannot, UsageError } from "../../oci/error.ts";

const MAX_KEY_FILE = 16_384;
const READABLE_BY_OTHERS = 0o044;
const POLICY_FILE = /\.(?:json|ya?ml)$/;
const KEY_FILE = /\.(?:pem|pub)$/;

/**
 * Reads private keys. A passphrase is read from the file that `--passphrase-file` names, or typed.
 *
 * @param warn called for a key that others may read
 * @throws {UsageError} when a file cannot be used as a private key
 */
export async function readPrivateKeys(
  paths: readonly string[],
  invocation: Invocation,
  warn: (message: string) => void,
): Promise<PrivateKey[]> {
  const file = invocation.flag("passphrase-file");
  if (file !== undefined && paths.length === 0) throw new UsageError(cannot("use --passphrase-file without a key"));
  const keys: PrivateKey[] = [];
  for (const path of paths) {
    const options = { what: path, passphrase: passphraseOf(path, file) };
    const { mode, isFile } = await Deno.stat(path);
    if (isFile && mode !== null && (mode & READABLE_BY_OTHERS) !== 0) {
      warn(`the private key ${path} can be read by others than its owner; chmod 600 it`);
    }
    keys.push(await parsePrivateKey(await readLimited(path, MAX_KEY_FILE), options));
  }
  const ids = keys.map((key) => key.public.id);
  const twice = ids.findIndex((id, i) => ids.indexOf(id) !== i);
  if (twice >= 0) throw new UsageError(cannot(`use ${paths[twice]} twice`, "a key signs once"));
  return keys;
}

/** Reads a public key. @throws {UsageError} when the file is not a public key */
export async function readPublicKey(path: string): Promise<PublicKey> {
  return parsePublicKey(await readLimited(path, MAX_KEY_FILE), path);
}

/** Reads the keys of `--verify-images`, if it is given. @throws {UsageError} when the file has no public key */
export async function readImageKeys(invocation: Invocation): Promise<ImageKeys | undefined> {
  const path = invocation.flag("verify-images");
  if (path === undefined) return undefined;
  const entries = parseTrustedPem(await readLimited(path, MAX_TRUST_FILE), path);
  return { name: path, keys: entries.flatMap(({ keys }) => keys) };
}

/**
 * Reads the trusted keys that `--trusted-keys` and the configuration name.
 *
 * @param configured the entries of the configuration, and the folder that their paths are relative to
 * @returns `undefined` if there are none, so that signatures are not required
 * @throws {UsageError} when one cannot be used
 */
export async function readTrust(
  invocation: Invocation,
  configured?: { readonly entries: unknown; readonly path: string },
): Promise<TrustPolicy | undefined> {
  const paths = invocation.flags("trusted-keys");
  const entries: TrustEntry[] = [];
  for (const path of paths) entries.push(...await readTrustAt(path));
  if (configured?.entries !== undefined) {
    entries.push(...await parseEntries(configured.entries, configured.path));
  }
  return entries.length === 0 ? undefined : new TrustPolicy(entries);
}

/** Reads whom the site with these records trusts. @returns `undefined` if signatures are not required */
export async function readSiteTrust(
  invocation: Invocation,
  { records, config }: { readonly records: Pick<PackageRecords, "firstUse">; readonly config: ConfigFile },
): Promise<SiteTrust | undefined> {
  const policy = await readTrust(invocation, configuredTrust(invocation, config));
  const firstUse = invocation.isSet("trust-on-first-use") ? records.firstUse : undefined;
  return policy === undefined && firstUse === undefined ? undefined : { policy, firstUse };
}

function configuredTrust(
  invocation: Invocation,
  config: ConfigFile,
): { readonly entries: unknown; readonly path: string } | undefined {
  const [entries, path] = [config["trusted-keys"], invocation.flag("config")];
  return entries === undefined || path === undefined ? undefined : { entries, path };
}

async function readTrustAt(path: string): Promise<TrustEntry[]> {
  const { isDirectory } = await Deno.stat(path);
  if (!isDirectory) return await readTrustFile(path);
  const names: string[] = [];
  for await (const { name } of Deno.readDir(path)) if (POLICY_FILE.test(name) || KEY_FILE.test(name)) names.push(name);
  if (names.length === 0) {
    throw new UsageError(cannot(`use ${path}`, "it has no file of trusted keys (.pub, .pem, .yaml, .json)"));
  }
  return (await Promise.all(names.sort().map((name) => readTrustFile(`${path}/${name}`)))).flat();
}

async function readTrustFile(path: string): Promise<TrustEntry[]> {
  const text = await readLimited(path, MAX_TRUST_FILE);
  if (!POLICY_FILE.test(path)) return parseTrustedPem(text, path);
  let document: unknown;
  try {
    document = parseYaml(text);
  } catch (cause) {
    throw new UsageError(cannot(`read ${path}`, "it is not YAML"), { cause });
  }
  return await parseEntries(document, path);
}

async function parseEntries(document: unknown, path: string): Promise<TrustEntry[]> {
  const folder = parentOf(path);
  return await parseTrustEntries(document, {
    what: path,
    readKey: (key) => readLimited(key.startsWith("/") ? key : `${folder}/${key}`, MAX_KEY_FILE),
  });
}

function passphraseOf(path: string, file: string | undefined): (() => Promise<string>) | undefined {
  if (file !== undefined) return async () => (await readLimited(file, MAX_KEY_FILE)).replace(/\r?\n$/, "");
  if (!Deno.stdin.isTerminal()) return undefined;
  return () => Promise.resolve(readHidden(`Passphrase of ${path}: `));
}

// Typed characters are not shown.
function readHidden(question: string): string {
  Deno.stderr.writeSync(new TextEncoder().encode(question));
  Deno.stdin.setRaw(true, { cbreak: true });
  const bytes: number[] = [];
  const buffer = new Uint8Array(1);
  try {
    while (Deno.stdin.readSync(buffer) === 1 && buffer[0] !== 10 && buffer[0] !== 13) {
      if (buffer[0] === 127 || buffer[0] === 8) bytes.pop();
      else bytes.push(buffer[0]!);
    }
  } finally {
    Deno.stdin.setRaw(false);
    Deno.stderr.writeSync(new TextEncoder().encode("\n"));
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

async function readLimited(path: string, limit: number): Promise<string> {
  const { size, isFile } = await Deno.stat(path);
  if (isFile && size > limit) {
    throw new UsageError(cannot(`read ${path}`, `it has ${size} bytes, ${limit} are allowed`));
  }
  return await readText(path);
}
