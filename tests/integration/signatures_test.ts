import { gunzipSync, gzipSync } from "node:zlib";
import { createAgentFixture } from "../support/agent_fixture.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { type Peer, peerTest, runPeer } from "../support/peers.ts";

type Fixture = Awaited<ReturnType<typeof createFixture>>;

const FILES = ["desk", "desk.pub", "plant", "plant.pub", "1.0.0.tgz", "2.0.0.tgz"];

async function makeFiles(): Promise<Uint8Array[]> {
  await using fixture = await createAgentFixture();
  assertEquals((await fixture.crpe("keygen", "desk")).code, 0);
  assertEquals((await fixture.crpe("keygen", "plant", "--algorithm=p256")).code, 0);
  await fixture.pack("1.0.0", 200_000, "--sign-key=desk");
  await fixture.pack("2.0.0", 1000);
  return await Promise.all(FILES.map((name) => Deno.readFile(`${fixture.folder.path}/${name}`)));
}

let files: Promise<Uint8Array[]> | undefined;

/**
 * A folder with the keys `desk` (Ed25519) and `plant` (P-256), the bundle `1.0.0.tgz`, which desk has signed, and `2.0.0.tgz`,
 * unsigned. They are made once.
 */
async function createFixture() {
  const fixture = await createAgentFixture();
  const crpe = async (...args: string[]) => {
    const { code, stdout, stderr } = await fixture.crpe(...args);
    return { code, stdout, stderr };
  };
  for (const [i, bytes] of (await (files ??= makeFiles())).entries()) await fixture.folder.write(FILES[i]!, bytes);
  for (const key of ["desk", "plant"]) await Deno.chmod(`${fixture.folder.path}/${key}`, 0o600);
  const read = (name: string) => Deno.readFile(`${fixture.folder.path}/${name}`);
  return { ...fixture, crpe, read };
}

const importing = ({ crpe }: Fixture, file: string, ...flags: string[]) =>
  crpe("import", file, "--data=site", "--manifests-dir=manifests", ...flags);

async function checkNothing({ folder }: Fixture): Promise<void> {
  assertEquals(await folder.listFiles("site/docker"), []);
  assertEquals(await folder.listFiles("manifests"), []);
  assertEquals((await folder.listFiles("site/kubepkg")).filter((name) => name.endsWith("current.json")), []);
}

Deno.test("keygen creates a pair with a secret private key, and never replaces one", async () => {
  await using fixture = await createFixture();
  assertEquals((await fixture.crpe("keygen", "own")).code, 0);
  const { mode } = await Deno.stat(`${fixture.folder.path}/own`);
  assertEquals(mode! & 0o777, 0o600);
  const before = await fixture.read("own");
  const { code, stderr } = await fixture.crpe("keygen", "own");
  assertEquals(code, 1);
  assertStringIncludes(stderr, "own exists already; keys are never replaced");
  assertEquals(await fixture.read("own"), before);
  assertEquals((await fixture.crpe("keygen", "x", "--algorithm=rsa")).code, 2);
  for (const [mode, isWarned] of [[0o600, false], [0o640, true], [0o604, true]] as const) {
    await Deno.chmod(`${fixture.folder.path}/desk`, mode);
    const signed = await fixture.crpe("sign", "1.0.0.tgz", "--key=desk");
    const warning = "crpe: warning: the private key desk can be read by others than its owner; chmod 600 it\n";
    assertEquals([signed.code, signed.stderr], [0, isWarned ? warning : ""]);
  }
  assertEquals(await fixture.folder.listFiles("x"), []);
});

Deno.test("import accepts what a trusted key has signed, and refuses the rest with exit status 3 and nothing written", async () => {
  await using fixture = await createFixture();
  const { folder, crpe } = fixture;
  await fixture.pack("0.9.0", 1000);
  await folder.write("two.yaml", "- { name: both, keys: [desk.pub, plant.pub], threshold: 2 }\n");
  await folder.write("hmi.yaml", "- { keys: desk.pub, packages: hmi-* }\n");
  await folder.write("ended.yaml", "- { keys: desk.pub, not-after: 2020-01-01 }\n");
  const refused: readonly [file: string, keys: string, message: string][] = [
    ["0.9.0.tgz", "desk.pub", "it is not signed, and must be by key"],
    ["1.0.0.tgz", "plant.pub", "it is signed by"],
    ["1.0.0.tgz", "two.yaml", "2 keys of both"],
    ["1.0.0.tgz", "hmi.yaml", "no trusted key is for packages of this name"],
    ["1.0.0.tgz", "ended.yaml", "have ended"],
  ];
  for (const [file, keys, message] of refused) {
    const { code, stderr } = await importing(fixture, file, `--trusted-keys=${keys}`);
    assertEquals({ code, lines: stderr.trim().split("\n").length }, { code: 3, lines: 1 }, stderr);
    assertStringIncludes(stderr, message);
    // --force is for the version rule: it never overrules the keys of the site.
    assertEquals((await importing(fixture, file, `--trusted-keys=${keys}`, "--force")).code, 3);
    await checkNothing(fixture);
  }
  const dry = await importing(fixture, "0.9.0.tgz", "--trusted-keys=desk.pub", "--dry-run");
  assertEquals(dry.code, 3);
  assertStringIncludes(dry.stdout, "would refuse line4@0.9.0: it is not signed");
  assertEquals((await crpe("sign", "1.0.0.tgz", "--key=plant")).code, 0);
  await folder.write("keys/plant.pub", await fixture.read("plant.pub"));
  await folder.write("keys/readme.txt", "not a key");
  for (const keys of ["two.yaml", "plant.pub", "keys"]) {
    const { code, stderr } = await importing(fixture, "1.0.0.tgz", `--trusted-keys=${keys}`);
    assertEquals(code, 0, stderr);
  }
  assertEquals((await importing(fixture, "1.0.0.tgz", "--trusted-keys=desk")).code, 2);
  assertEquals((await importing(fixture, "1.0.0.tgz", "--trusted-keys=1.0.0.tgz")).code, 2);
  const [shown] = JSON.parse((await crpe("packages", "--data=site", "--json")).stdout);
  assertEquals(shown.trust.state, "trusted");
  // A signature does not end: of an older release that comes again, the version rule decides.
  assertEquals((await crpe("sign", "0.9.0.tgz", "--key=plant")).code, 0);
  const replayed = await importing(fixture, "0.9.0.tgz", "--trusted-keys=plant.pub");
  assertEquals(replayed.code, 3);
  assertStringIncludes(replayed.stderr, "1.0.0 is installed");
});

Deno.test("a changed document, a signature of another package and broken signatures are refused, and nothing is written", async () => {
  await using fixture = await createFixture();
  const { folder, crpe } = fixture;
  const tar = gunzipSync(await fixture.read("1.0.0.tgz"));
  await folder.write("other.json", JSON.stringify(makeKubePkg({}, { name: "other" })));
  await crpe("pack", "other.json", "-o", "other.tgz", "--data=source", "--offline", "--sign-key=desk");
  const foreign = signaturesIn(gunzipSync(await fixture.read("other.tgz")));
  const own = signaturesIn(tar);
  const [id, signature] = own.trim().split(" ");
  const end = (at: number) => at + BLOCK + padded(sizeAt(tar, at));
  const [sig, behind] = [end(0), end(end(0))];
  const texts: readonly [what: string, text: string | Uint8Array][] = [
    ["a document changed by one byte", changeDocument(tar)],
    ["the entry of the signatures twice", Uint8Array.from([...tar.subarray(0, behind), ...tar.subarray(sig)])],
    ["the signature of another package", foreign],
    ["a signature cut short", `${id} ${signature!.slice(0, 44)}\n`],
    ["a line cut short", own.slice(0, 70)],
    ["no lines", "\n"],
    ["the same line twice", own + own],
    ["10,000 lines", own.repeat(10_000)],
    ["bytes that are no text", "\u0000".repeat(100)],
  ];
  for (const [what, text] of texts) {
    const changed = typeof text === "string" ? withSignatures(tar, text) : text;
    await folder.write("bad.tgz", new Uint8Array(gzipSync(changed)));
    const { code, stderr } = await importing(fixture, "bad.tgz", "--trusted-keys=desk.pub");
    assert(code === 3 || code === 4, `${what}: ${code} ${stderr}`);
    assertEquals(stderr.trim().split("\n").length, 1, stderr);
    await checkNothing(fixture);
  }
});

Deno.test("an agent with trusted keys refuses a push with 403 before the first blob, and installs what is signed", async () => {
  await using fixture = await createFixture();
  await fixture.pack("0.9.0", 100_000);
  await using agent = await fixture.startAgent("--trusted-keys=desk.pub");
  const refused = await fixture.push("0.9.0.tgz", agent.url).finished;
  assertEquals(refused.code, 3, refused.stderr);
  assertStringIncludes(refused.stderr, "it is not signed, and must be by key");
  const token = (await Deno.readTextFile(fixture.tokenFile)).trim();
  const put = await fetch(`${agent.url}/kubepkgs?force=true`, {
    method: "PUT",
    headers: { authorization: `Bearer ${token}` },
    body: await fixture.read("0.9.0.tgz"),
  });
  assertEquals(put.status, 403);
  assertEquals((await put.json()).errors[0].code, "UNTRUSTED");
  await checkNothing(fixture);
  const { code, stdout, stderr } = await fixture.push("1.0.0.tgz", agent.url, "--json").finished;
  assertEquals(code, 0, stderr);
  const [{ trust, sent }] = JSON.parse(stdout);
  assertEquals({ state: trust.state, entry: trust.keys[0].entry }, { state: "trusted", entry: "desk.pub" });
  assert(sent.blobs > 0);
  agent.kill("SIGTERM");
  await agent.finished;
  assertStringIncludes(agent.log(), "signed by");
});

Deno.test("a rollback is to a version that is still trusted, and parts of a bundle are signed each", async () => {
  await using fixture = await createFixture();
  const { crpe, folder } = fixture;
  await fixture.pack("1.1.0", 300_000, "--sign-key=plant", "--split=200KiB");
  assertEquals((await importing(fixture, "1.0.0.tgz", "--trusted-keys=desk.pub")).code, 0);
  const parts = (await folder.listFiles()).filter((name) => /^1\.1\.0\.part\d+of\d+\.tgz$/.test(name));
  assert(parts.length > 1, parts.join());
  const foreign = await importing(fixture, parts[0]!, "--trusted-keys=desk.pub");
  assertEquals(foreign.code, 3, foreign.stderr);
  for (const part of parts) {
    const { code, stderr } = await importing(fixture, part, "--trusted-keys=plant.pub");
    assertEquals(code, 0, stderr);
  }
  const back = (...flags: string[]) => crpe("packages", "rollback", "line4", "--data=site", ...flags);
  const refused = await back("--trusted-keys=plant.pub");
  assertEquals(refused.code, 3, refused.stderr);
  assertEquals((await back("--trusted-keys=desk.pub")).code, 0);
  // Forward again: the evidence of a version that came in parts was kept too.
  assertEquals((await back("--trusted-keys=plant.pub")).code, 0);
});

Deno.test("trust on first use: the keys of the first import are the only ones afterwards, also after a removal", async () => {
  await using fixture = await createFixture();
  const { crpe } = fixture;
  const importAlone = (file: string, ...flags: string[]) =>
    crpe("import", file, "--data=site", "--trust-on-first-use", ...flags);
  await fixture.pack("0.9.0", 1000);
  await fixture.pack("1.1.0", 1000, "--sign-key=plant");
  await fixture.pack("1.2.0", 1000, "--sign-key=desk");
  const steps: readonly [file: string, code: number, message: string][] = [
    ["0.9.0.tgz", 3, "it is not signed; the first import of a package records the key"],
    ["1.0.0.tgz", 0, ""],
    ["1.1.0.tgz", 3, "(the first import)"],
    ["1.2.0.tgz", 0, ""],
  ];
  for (const [file, expected, message] of steps) {
    const { code, stderr } = await importAlone(file);
    assertEquals(code, expected, stderr);
    assertStringIncludes(stderr, message);
  }
  assertEquals((await crpe("packages", "remove", "line4", "--data=site")).code, 0);
  assertStringIncludes((await importAlone("1.1.0.tgz")).stderr, "(the first import)");
  // An entry of the site's policy counts before what was recorded.
  const { code, stderr } = await importAlone("1.1.0.tgz", "--trusted-keys=plant.pub");
  assertEquals(code, 0, stderr);
});

Deno.test("trust on first use: an import that changes nothing records its keys, and all recorded keys must sign", async () => {
  await using fixture = await createFixture();
  const { crpe } = fixture;
  const importAlone = (file: string) => crpe("import", file, "--data=site", "--trust-on-first-use");
  // Installed before signatures were required.
  assertEquals((await crpe("import", "1.0.0.tgz", "--data=site")).code, 0);
  assertEquals((await importAlone("1.0.0.tgz")).code, 0);
  await fixture.pack("1.1.0", 1000, "--sign-key=plant");
  assertEquals((await importAlone("1.1.0.tgz")).code, 3);
  // A person who carries a first bundle may add a line of another key: the next one of the desk alone is refused then.
  await crpe("packages", "remove", "line4", "--data=site");
  await Deno.remove(`${fixture.folder.path}/site/kubepkg/.trusted-keys/line4.json`);
  assertEquals((await crpe("sign", "1.0.0.tgz", "--key=plant")).code, 0);
  assertEquals((await importAlone("1.0.0.tgz")).code, 0);
  assertEquals((await importAlone("1.1.0.tgz")).code, 3);
  await fixture.pack("1.2.0", 1000, "--sign-key=desk");
  assertEquals((await importAlone("1.2.0.tgz")).code, 3);
  await Deno.writeTextFile(`${fixture.folder.path}/site/kubepkg/.trusted-keys/line4.json`, "{");
  const damaged = await importAlone("1.2.0.tgz");
  assertEquals(damaged.code, 3);
  assertStringIncludes(damaged.stderr, "delete it to trust the keys of the next import");
});

Deno.test("a key for other packages does not replace the images of an installed one", async () => {
  await using fixture = await createFixture();
  const { folder, crpe } = fixture;
  await folder.write("keys.yaml", "- { keys: desk.pub, packages: line4 }\n- { keys: plant.pub, packages: 'hmi-*' }\n");
  assertEquals((await importing(fixture, "1.0.0.tgz", "--trusted-keys=keys.yaml")).code, 0);
  const before = (await crpe("images", "--data=site", "--json")).stdout;
  // The same tag with other content, in a package that the key may sign.
  await fixture.pack("1.0.0", 50_000);
  const release = makeKubePkg({ "registry.test/app:1.0.0": "" }, { name: "hmi-x" });
  await folder.write("hmi.json", JSON.stringify(release));
  const flags = ["-o", "hmi.tgz", "--data=source", "--offline", "--sign-key=plant"];
  assertEquals((await crpe("pack", "hmi.json", ...flags)).code, 0);
  const { code, stderr } = await importing(fixture, "hmi.tgz", "--trusted-keys=keys.yaml");
  assertEquals(code, 3, stderr);
  assertStringIncludes(stderr, "is an image of the installed package line4, with another digest");
  assertEquals((await crpe("images", "--data=site", "--json")).stdout, before);
});

Deno.test("[109] a running agent reads its trusted keys for each import, and logs why it cannot", async () => {
  await using fixture = await createFixture();
  const { folder } = fixture;
  await folder.write("keys/plant.pub", await fixture.read("plant.pub"));
  await using agent = await fixture.startAgent("--trusted-keys=keys");
  assertEquals((await fixture.push("1.0.0.tgz", agent.url).finished).code, 3);
  await folder.write("keys/desk.pub", "");
  const { code, stderr } = await fixture.push("1.0.0.tgz", agent.url).finished;
  const reason = "Cannot read keys/desk.pub: it has no public key (PEM)";
  assertEquals([code, stderr.includes(reason)], [1, true], stderr);
  while (!agent.log().includes(`/kubepkgs/plan: ${reason}`)) await new Promise((resolve) => setTimeout(resolve, 20));
  await folder.write("keys/desk.pub", await fixture.read("desk.pub"));
  assertEquals((await fixture.push("1.0.0.tgz", agent.url).finished).code, 0);
});

// Each program signs and verifies the same bytes, with keys of both kinds.
const PROGRAMS: readonly (Peer | "crpe")[] = ["crpe", "openssl", "cosign"];
for (const [key, algorithm] of [["desk", "ed25519"], ["plant", "p256"]] as const) {
  for (const signer of PROGRAMS) {
    for (const verifier of PROGRAMS) {
      const peers = [signer, verifier].filter((name) => name !== "crpe");
      peerTest(
        `a bundle signed by ${signer} is verified by ${verifier} (${algorithm})`,
        [...new Set(peers)],
        async () => {
          await using fixture = await createFixture();
          const { folder: { path }, crpe } = fixture;
          const document = documentOf(gunzipSync(await fixture.read("2.0.0.tgz")));
          await Deno.writeFile(`${path}/kubepkg.json`, document);
          if (signer === "crpe") assertEquals((await crpe("sign", "2.0.0.tgz", `--key=${key}`)).code, 0);
          else {
            await signElsewhere(signer, `${path}/${key}`, path);
            const { code, stderr } = await crpe("sign", "2.0.0.tgz", "--signature=out.sig", `--public-key=${key}.pub`);
            assertEquals(code, 0, stderr);
          }
          const tar = gunzipSync(await fixture.read("2.0.0.tgz"));
          assertEquals(documentOf(tar), document);
          await Deno.writeTextFile(`${path}/found.sig`, signaturesIn(tar).split(" ")[1]!);
          if (verifier === "crpe") {
            assertEquals((await importing(fixture, "2.0.0.tgz", `--trusted-keys=${key}.pub`)).code, 0);
          } else await verifyElsewhere(verifier, `${path}/${key}.pub`, path);
        },
      );
    }
  }
}

const COSIGN = { env: { COSIGN_PASSWORD: "", HOME: "/nonexistent" } };

async function signElsewhere(signer: Peer | "crpe", key: string, path: string): Promise<void> {
  if (signer === "openssl") {
    const words = key.endsWith("desk")
      ? ["pkeyutl", "-sign", "-rawin", "-in"]
      : ["dgst", "-sha256", "-binary", "-sign"];
    if (key.endsWith("desk")) {
      await peer("openssl", [...words, `${path}/kubepkg.json`, "-inkey", key, "-out", `${path}/out.raw`]);
    } else await peer("openssl", [...words, key, "-out", `${path}/out.raw`, `${path}/kubepkg.json`]);
    await Deno.writeTextFile(`${path}/out.sig`, (await Deno.readFile(`${path}/out.raw`)).toBase64());
    return;
  }
  await peer("cosign", ["import-key-pair", "--key", key, "--output-key-prefix", `${path}/imported`, "--yes"]);
  const flags = ["--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=false", "--yes"];
  await peer("cosign", [
    ...["sign-blob", ...flags, "--key", `${path}/imported.key`, "--output-signature", `${path}/out.sig`],
    `${path}/kubepkg.json`,
  ]);
}

async function verifyElsewhere(verifier: Peer | "crpe", key: string, path: string): Promise<void> {
  const file = `${path}/kubepkg.json`;
  if (verifier === "cosign") {
    const flags = ["--private-infrastructure", "--new-bundle-format=false"];
    await peer("cosign", ["verify-blob", ...flags, "--key", key, "--signature", `${path}/found.sig`, file]);
    return;
  }
  await Deno.writeFile(`${path}/found.raw`, Uint8Array.fromBase64(await Deno.readTextFile(`${path}/found.sig`)));
  if (key.endsWith("desk.pub")) {
    await peer("openssl", [
      "pkeyutl",
      "-verify",
      "-pubin",
      "-inkey",
      key,
      "-rawin",
      "-in",
      file,
      "-sigfile",
      `${path}/found.raw`,
    ]);
  } else await peer("openssl", ["dgst", "-sha256", "-verify", key, "-signature", `${path}/found.raw`, file]);
}

async function peer(name: Peer, args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await runPeer(name, args, name === "cosign" ? COSIGN : {});
  assertEquals(code, 0, stdout + stderr);
}

const BLOCK = 512;
const sizeAt = (tar: Uint8Array, at: number) => parseInt(new TextDecoder().decode(tar.subarray(at + 124, at + 135)), 8);
const padded = (size: number) => Math.ceil(size / BLOCK) * BLOCK;

/** The bytes of the first entry. */
function documentOf(tar: Uint8Array): Uint8Array {
  return Uint8Array.from(tar.subarray(BLOCK, BLOCK + sizeAt(tar, 0)));
}

/** The text of the second entry. */
function signaturesIn(tar: Uint8Array): string {
  const at = BLOCK + padded(sizeAt(tar, 0));
  return new TextDecoder().decode(tar.subarray(at + BLOCK, at + BLOCK + sizeAt(tar, at)));
}

/** Changes one digit of the package's data. */
function changeDocument(tar: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(tar);
  const at = new TextDecoder().decode(documentOf(tar)).indexOf(`"version":"1.0.0"`);
  changed[BLOCK + at + 11] = "2".charCodeAt(0);
  return changed;
}

function withSignatures(tar: Uint8Array, text: string): Uint8Array {
  const at = BLOCK + padded(sizeAt(tar, 0));
  const bytes = new TextEncoder().encode(text);
  const header = Uint8Array.from(tar.subarray(at, at + BLOCK));
  header.set(new TextEncoder().encode(`${bytes.length.toString(8).padStart(11, "0")}\0`), 124);
  header.fill(32, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  const content = new Uint8Array(padded(bytes.length));
  content.set(bytes);
  const rest = tar.subarray(at + BLOCK + padded(sizeAt(tar, at)));
  return Uint8Array.from([...tar.subarray(0, at), ...header, ...content, ...rest]);
}
