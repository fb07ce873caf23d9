import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { parseCommandLine } from "../../../../lib/cli/command_line/parse_command_line.ts";
import { COMMANDS } from "../../../../lib/cli/commands.ts";
import { checkReplaceable, replaceExecutable } from "../../../../lib/cli/commands/replace_executable.ts";
import { upgrade } from "../../../../lib/cli/commands/upgrade.ts";
import { exitStatusOf } from "../../../../lib/cli/console/describe_error.ts";
import { VERSION } from "../../../../lib/cli/console/version.ts";
import { run } from "../../../../lib/cli/run.ts";
import { signDetached } from "../../../../lib/signature/detached_signature.ts";
import { createKeyPair, parsePrivateKey, parsePublicKey } from "../../../../lib/signature/keys.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
import { makeTar } from "../../../support/tar.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { createTestIo } from "../../../support/test_io.ts";

const COMMAND = await COMMANDS.find(({ name }) => name === "upgrade")!.load();
const MACHINE = `${Deno.build.os === "windows" ? "win32" : Deno.build.os}-${
  Deno.build.arch === "x86_64" ? "x64" : "arm64"
}`;
const [pair, otherPair] = [createKeyPair(), createKeyPair()];
const signing = await parsePrivateKey(pair.privateKey, { what: "key" });
const key = parsePublicKey(pair.publicKey, "key");
const encoder = new TextEncoder();

/** The files of a release; a test changes some of them. */
interface ReleaseFiles {
  readonly version?: string;
  /** Platforms with a file. */
  readonly machines?: readonly string[];
  /** The name of the executable in its package. */
  readonly entry?: string;
  /** Called with the files after they were signed. */
  readonly damage?: (files: Map<string, Uint8Array>) => void;
}

function makeRelease(
  { version = "9.0.0", machines = [MACHINE], entry = "package/crpe", damage }: ReleaseFiles,
): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const machine of machines) {
    const tar = makeTar({ "package/package.json": "{}", [entry]: `crpe ${version}` });
    files.set(`crpe-${machine}-${version}.tgz`, gzipSync(tar));
  }
  const sums = [...files].map(([name, bytes]) => `${createHash("sha256").update(bytes).digest("hex")}  ${name}\n`);
  const text = encoder.encode(`${sums.join("")}${"0".repeat(64)}  crpe-${version}.tgz\n`);
  files.set("SHA256SUMS", text);
  files.set("SHA256SUMS.sig", encoder.encode(signDetached(text, signing)));
  damage?.(files);
  return files;
}

async function runUpgrade(files: ReadonlyMap<string, Uint8Array>, flags: readonly string[] = []) {
  await using folder = await TestFolder.create();
  const path = await folder.write("bin/crpe", "the old one");
  await Deno.chmod(path, 0o711);
  for (const [name, bytes] of files) await folder.write(`release/${name}`, bytes);
  const io = createTestIo();
  const invocation = parseCommandLine(COMMAND, flags);
  const outcome = await upgrade(path, { from: `${folder.path}/release`, key, invocation, io })
    .catch((error: unknown) => error);
  const content = await Deno.readTextFile(path);
  return {
    status: typeof outcome === "number" ? outcome : exitStatusOf(outcome),
    message: outcome instanceof Error ? outcome.message : io.outText,
    content,
    mode: (await Deno.stat(path)).mode! & 0o777,
    files: await folder.listFiles("bin"),
    old: await Deno.readTextFile(`${path}.old`).catch(() => undefined),
  };
}

Deno.test("an upgrade replaces the executable, keeps its mode and the old one, and leaves nothing else", async () => {
  const result = await runUpgrade(makeRelease({}));
  assertEquals([result.status, result.content, result.old, result.mode], [0, "crpe 9.0.0", "the old one", 0o711]);
  assertEquals(result.files, ["crpe", "crpe.old"]);
  assertStringIncludes(result.message, "installed crpe 9.0.0");
});

Deno.test("an upgrade takes the release from a URL", async () => {
  const files = makeRelease({});
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const { pathname, search } = new URL(request.url);
    const bytes = files.get(pathname.slice("/crpe/".length));
    return bytes === undefined || search !== "?token=x"
      ? new Response(null, { status: 404 })
      : new Response(bytes as Uint8Array<ArrayBuffer>);
  });
  await using folder = await TestFolder.create();
  const path = await folder.write("crpe", "the old one");
  const from = `http://127.0.0.1:${server.addr.port}/crpe/?token=x`;
  const request = { key, invocation: parseCommandLine(COMMAND, []), io: createTestIo() };
  assertEquals(await upgrade(path, { ...request, from }), 0);
  assertEquals(await Deno.readTextFile(path), "crpe 9.0.0");
});

const UNCHANGED: readonly [what: string, release: ReleaseFiles, flags: string[], status: number, message: RegExp][] = [
  ["does nothing for the same version", { version: VERSION }, [], 0, /is installed; .* has the same/],
  ["writes nothing with --dry-run", {}, ["--dry-run"], 0, /^would replace .* with crpe 9\.0\.0/],
  ["refuses an older version", { version: "0.0.1" }, [], 3, /is newer; --force/],
  [
    "refuses checksums that were changed after they were signed",
    { damage: (files) => files.set("SHA256SUMS", encoder.encode(`${"0".repeat(64)}  crpe-${MACHINE}-9.0.0.tgz\n`)) },
    [],
    3,
    /is not signed with key [0-9a-f]{64}; nothing was changed/,
  ],
  [
    "refuses a signature that is none, also with --force",
    { damage: (files) => files.set("SHA256SUMS.sig", encoder.encode("x")) },
    ["--force"],
    3,
    /is not signed/,
  ],
  ["needs a signature", { damage: (files) => files.delete("SHA256SUMS.sig") }, [], 1, /SHA256SUMS\.sig/],
  [
    "refuses a file that was changed",
    { damage: (files) => files.set(`crpe-${MACHINE}-9.0.0.tgz`, gzipSync(makeTar({ "package/crpe": "evil" }))) },
    [],
    4,
    /its checksum does not match; nothing was changed/,
  ],
  [
    "refuses a file that was cut off",
    {
      damage: (files) => files.set(`crpe-${MACHINE}-9.0.0.tgz`, files.get(`crpe-${MACHINE}-9.0.0.tgz`)!.slice(0, 40)),
    },
    [],
    4,
    /checksum/,
  ],
  ["refuses a release without this platform", { machines: ["plan9-mips"] }, [], 1, /no executable for/],
  ["refuses a package without an executable", { entry: "package/bin/crpe" }, [], 4, /it has no executable/],
  ["refuses a file name without a version", { version: "9.x" }, [], 4, /no semantic version/],
];
for (const [what, release, flags, status, message] of UNCHANGED) {
  Deno.test(`an upgrade ${what}`, async () => {
    const result = await runUpgrade(makeRelease(release), flags);
    assertEquals([result.status, result.content, result.files], [status, "the old one", ["crpe"]], result.message);
    assert(message.test(result.message), result.message);
  });
}

Deno.test("an upgrade with --force installs the same version again, and an older one", async () => {
  for (const version of [VERSION, "0.0.1"]) {
    const result = await runUpgrade(makeRelease({ version }), ["--force"]);
    assertEquals([result.status, result.content], [0, `crpe ${version}`], result.message);
  }
});

Deno.test("an upgrade refuses an executable of npm, and one at a time", async () => {
  await using folder = await TestFolder.create();
  const files = makeRelease({});
  for (const [name, bytes] of files) await folder.write(`release/${name}`, bytes);
  const request = {
    from: `${folder.path}/release`,
    key,
    invocation: parseCommandLine(COMMAND, []),
    io: createTestIo(),
  };
  const managed = await folder.write("node_modules/@crpe/x/crpe", "the old one");
  const refused = await upgrade(managed, request).catch((error: Error) => error);
  assertEquals(exitStatusOf(refused), 3);
  assertStringIncludes((refused as Error).message, "npm manages it");
  const path = await folder.write("crpe", "the old one");
  using file = await Deno.open(await folder.write("crpe.download", ""), { write: true });
  await file.lock(true);
  assertStringIncludes((await upgrade(path, request).catch((error: Error) => error)).toString(), "another upgrade");
  assertEquals(await Deno.readTextFile(path), "the old one");
});

Deno.test("crpe upgrade names what is missing: --from, and an executable", async () => {
  const rows = [[["upgrade"], 2, "--from"], [["upgrade", "--from=/nonexistent"], 1, "from its sources"]] as const;
  for (const [args, status, message] of rows) {
    const io = createTestIo();
    assertEquals(await run(args, io), status);
    assertStringIncludes(io.errText, message);
  }
});

Deno.test("a release that another key signed is refused", async () => {
  await using folder = await TestFolder.create();
  for (const [name, bytes] of makeRelease({})) await folder.write(`release/${name}`, bytes);
  const path = await folder.write("crpe", "the old one");
  const other = parsePublicKey(otherPair.publicKey, "key");
  const request = { from: `${folder.path}/release`, key: other, invocation: parseCommandLine(COMMAND, []) };
  const refused = await upgrade(path, { ...request, io: createTestIo() }).catch((error: unknown) => error);
  assertEquals(exitStatusOf(refused), 3);
});

Deno.test("an upgrade installs the bytes that it verified, and a second one leaves its files alone", async () => {
  const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  const [good, other] = ["the new one", "not signed"].map((text) => gzipSync(makeTar({ "package/crpe": text })));
  const rows = [
    ["another file at its path", async (path: string) => {
      await Deno.writeFile(`${path}.other`, other!);
      await Deno.rename(`${path}.other`, `${path}.download`);
    }],
    ["a second upgrade", async (path: string) => {
      const second = replaceExecutable(path, releaseOf(() => Promise.resolve()), () => {});
      await assertRejects(() => second, Error, "another upgrade is in progress");
      assertEquals((await Deno.stat(`${path}.download`)).isFile, true);
    }],
  ] as const;
  const releaseOf = (meanwhile: () => Promise<void>) => ({
    version: "9.0.0",
    file: "release.tgz",
    sha256: hash(good!),
    open: () =>
      Promise.resolve(
        new ReadableStream<Uint8Array>({
          async start(controller) {
            controller.enqueue(good);
            await meanwhile();
            controller.close();
          },
        }),
      ),
  });
  for (const [what, meanwhile] of rows) {
    await using folder = await TestFolder.create();
    const path = await folder.write("crpe", "the old one");
    await replaceExecutable(path, releaseOf(() => meanwhile(path)), () => {});
    assertEquals(await Deno.readTextFile(path), "the new one", what);
  }
});

Deno.test("an upgrade does not write through a link", async () => {
  await using folder = await TestFolder.create();
  const [path, precious] = [await folder.write("crpe", "the old one"), await folder.write("precious", "precious")];
  await Deno.symlink(precious, `${path}.download`);
  await assertRejects(() => checkReplaceable(path, true), Error, "crpe.download is a link");
  assertEquals(await Deno.readTextFile(precious), "precious");
});
