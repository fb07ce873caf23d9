import { assert, assertEquals } from "../support/assert.ts";
import { peerTest, runPeer } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const SCRIPT = new URL("../../scripts/sign.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

async function sign(...args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", `--config=${CONFIG}`, SCRIPT, ...args],
  }).output();
  return { code, text: new TextDecoder().decode(code === 0 ? stdout : stderr) };
}

async function createFolder(): Promise<TestFolder> {
  const folder = await TestFolder.create();
  await folder.write("SHA256SUMS", "0123  crpe.tar.xz\n");
  return folder;
}

peerTest("openssl verifies what scripts/sign.ts signs, and refuses a changed file", ["openssl"], async () => {
  await using folder = await createFolder();
  const [key, sums] = [`${folder.path}/release.key`, `${folder.path}/SHA256SUMS`];
  assertEquals((await sign("keygen", key)).code, 0);
  assertEquals((await Deno.stat(key)).mode! & 0o777, 0o600);
  // A key is never replaced.
  assertEquals((await sign("keygen", key)).code, 1);
  assertEquals((await sign("sign", `--key=${key}`, sums)).code, 0);
  const signature = Uint8Array.fromBase64((await Deno.readTextFile(`${sums}.sig`)).trim());
  await Deno.writeFile(`${sums}.raw`, signature);
  const verify = () => {
    return runPeer("openssl", [
      ...["pkeyutl", "-verify", "-pubin", "-inkey", `${key}.pub`, "-rawin", "-in", sums, "-sigfile", `${sums}.raw`],
    ]);
  };
  assertEquals((await verify()).code, 0);
  assertEquals((await sign("verify", `--key=${key}.pub`, sums)).code, 0);
  await folder.write("SHA256SUMS", "0124  crpe.tar.xz\n");
  assert((await verify()).code !== 0);
  const refused = await sign("verify", `--key=${key}.pub`, sums);
  assertEquals(refused.code, 1);
  assert(/is not a signature of it with key [0-9a-f]{64}\n$/.test(refused.text), refused.text);
});

peerTest("scripts/sign.ts verifies what openssl signs, with keys that openssl made", ["openssl"], async () => {
  await using folder = await createFolder();
  const [key, sums] = [`${folder.path}/openssl.pem`, `${folder.path}/SHA256SUMS`];
  for (
    const args of [
      ["genpkey", "-algorithm", "ed25519", "-out", key],
      ["pkey", "-in", key, "-pubout", "-out", `${key}.pub`],
      ["pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", sums, "-out", `${sums}.raw`],
    ]
  ) assertEquals((await runPeer("openssl", args)).code, 0, args.join(" "));
  const raw = (await Deno.readFile(`${sums}.raw`)).toBase64();
  await Deno.writeTextFile(`${sums}.sig`, raw);
  assertEquals((await sign("verify", `--key=${key}.pub`, sums)).code, 0);
  // Ed25519 has one signature for each message and key.
  assertEquals((await sign("sign", `--key=${key}`, sums)).code, 0);
  assertEquals((await Deno.readTextFile(`${sums}.sig`)).trim(), raw);
});
