import { formatPackageTar } from "../../../../lib/bundle/bundle_layout.ts";
import { preparePack } from "../../../../lib/bundle/prepare_pack.ts";
import { readBundle } from "../../../../lib/bundle/read_bundle.ts";
import { packForAgent, type PackForAgentOptions } from "../../../../lib/cli/commands/push_deltas.ts";
import { modelNames } from "../../../../lib/delta/models/all.ts";
import type { KubePkg } from "../../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../../lib/kubepkg/parse_kubepkg.ts";
import { referrersOf } from "../../../../lib/kubepkg/referrers_of.ts";
import { identityOf } from "../../../../lib/kubepkg/version.ts";
import { createKeyPair, parsePrivateKey } from "../../../../lib/signature/keys.ts";
import { createSigner, parseSignatureLines } from "../../../../lib/signature/signature_lines.ts";
import { sweepIngest } from "../../../../lib/store/data_folder.ts";
import { DiskStore } from "../../../../lib/store/disk_store.ts";
import { INGEST } from "../../../../lib/store/layout.ts";
import { assertEquals, assertLess, assertMatch, assertRejects } from "../../../support/assert.ts";
import { DELTA_REPO, makeAppFiles } from "../../../support/delta_fixture.ts";
import { buildArtifact, buildImage } from "../../../support/images.ts";
import { makeKubePkg } from "../../../support/kubepkg.ts";
import { writeImage } from "../../../support/put_image.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { createTestIo } from "../../../support/test_io.ts";

const IMAGES = [1, 2].map((version) => buildImage({ files: makeAppFiles(version, 3) }));
const HELD = { digests: [...IMAGES[0]!.blobs.keys(), IMAGES[0]!.root.digest], models: modelNames() };
const [desk, plant] = [await createKey(), await createKey()];

async function createKey() {
  return await parsePrivateKey(createKeyPair().privateKey, { what: "key" });
}

interface Case {
  /** Signs the bundle that is pushed. */
  readonly bundleKeys?: readonly (typeof desk)[];
  /** `--sign-key` */
  readonly pushKeys?: readonly (typeof desk)[];
  /** Changes `kubepkg.json` of the bundle. */
  readonly change?: (kubepkg: KubePkg) => KubePkg;
  /** Whether the image has a referrer, and after the bundle was packed another one. */
  readonly isAttached?: boolean;
  /** Removed from the data folder. */
  readonly without?: string;
  /** Who has signed what is sent; `undefined` if that is the bundle itself. */
  readonly signers: readonly (typeof desk)[] | undefined;
  readonly warning?: RegExp;
}

const CASES: Readonly<Record<string, Case>> = {
  "a bundle that is not signed is packed again": { signers: [] },
  "a signed bundle is sent as it is": { bundleKeys: [desk], signers: undefined },
  "a signed bundle is packed again and signed with --sign-key": {
    bundleKeys: [desk],
    pushKeys: [desk, plant],
    signers: [desk, plant],
  },
  "a bundle that is not signed is signed with --sign-key": { pushKeys: [plant], signers: [plant] },
  "a bundle that would be another release is sent as it is": {
    change: ({ metadata: { annotations: _, ...metadata }, ...kubepkg }) => ({ ...kubepkg, metadata }),
    signers: undefined,
  },
  "a bundle with referrers is packed again with those, and not with later ones": { isAttached: true, signers: [] },
  "what cannot be packed is sent as it is, with one warning": {
    without: "docker/registry/v2/repositories",
    signers: undefined,
    warning: /^crpe: warning: Cannot send deltas of [^\n]*2\.tgz: [^\n]*; sending the bundle as it is\n$/,
  },
};

async function createFixture(
  { bundleKeys, pushKeys, change = (it) => it, isAttached, without }: Omit<Case, "signers">,
) {
  const folder = await TestFolder.create();
  const data = `${folder.path}/data`;
  const store = new DiskStore(data);
  for (const [i, image] of IMAGES.entries()) await writeImage(store, `${DELTA_REPO}:${i + 1}`, image);
  const release = parseKubePkg(makeKubePkg({ [`${DELTA_REPO}:2`]: "" }, { version: "2.0.0" }));
  const attach = async (type: string) => {
    await writeImage(store, `${DELTA_REPO}:${type}`, buildArtifact(IMAGES[1]!.root, `application/${type}`));
  };
  if (isAttached) await attach("first");
  const prepared = await preparePack(release, store, { referrers: { catalog: store, isCarried: isAttached ?? false } });
  const kubepkg = change(prepared.kubepkg);
  if (isAttached) await attach("second");
  const bytes = new TextEncoder().encode(JSON.stringify(kubepkg));
  const file = `${folder.path}/2.tgz`;
  await Deno.writeFile(file, formatPackageTar({ bytes, text: bundleKeys && createSigner(bundleKeys)(bytes) }));
  if (without !== undefined) await Deno.remove(`${data}/${without}`, { recursive: true });
  const agent = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => Response.json(HELD));
  const options: PackForAgentOptions = {
    ...{ data, store: new DiskStore(data) },
    url: `http://127.0.0.1:${agent.addr.port}`,
    caFile: undefined,
    effort: "fast",
    sign: pushKeys && createSigner(pushKeys),
    isQuiet: true,
  };
  return {
    data,
    file,
    options,
    kubepkg,
    listTemporary: async () => (await folder.listFiles(`data/${INGEST}`)).filter((name) => name.endsWith(".tmp")),
    async [Symbol.asyncDispose]() {
      await agent.shutdown();
      await folder[Symbol.asyncDispose]();
    },
  };
}

for (const [title, { signers, warning = /^$/, ...options }] of Object.entries(CASES)) {
  Deno.test(`packForAgent(): ${title}`, async () => {
    await using fixture = await createFixture(options);
    const io = createTestIo();
    {
      await using packed = await packForAgent(fixture.file, fixture.options, io);
      assertMatch(io.errText, warning);
      assertEquals(packed === undefined, signers === undefined);
      if (packed === undefined) return;
      const { count, size, layerSize } = packed.deltas;
      assertEquals(count, 1);
      assertLess(size, layerSize);
      const bundle = await readBundle((await Deno.open(packed.path)).readable);
      const lines = await bundle.readSignatures();
      await bundle.cancel();
      const ids = lines === undefined ? [] : parseSignatureLines(lines, "2.tgz").map(({ keyId }) => keyId);
      assertEquals(ids, signers!.map((key) => key.public.id));
      assertEquals(identityOf(bundle.kubepkg), identityOf(fixture.kubepkg));
      assertEquals([referrersOf(bundle.kubepkg), referrersOf(bundle.kubepkg).length], [
        referrersOf(fixture.kubepkg),
        options.isAttached ? 1 : 0,
      ]);
    }
    assertEquals(await fixture.listTemporary(), []);
  });
}

Deno.test("packForAgent(): no other process sweeps the bundle until it is sent", async () => {
  await using fixture = await createFixture({});
  {
    await using packed = await packForAgent(fixture.file, fixture.options, createTestIo());
    await sweepIngest(fixture.data, { minAge: 0 });
    assertEquals((await Deno.stat(packed!.path)).size, packed!.size);
  }
  assertEquals(await fixture.listTemporary(), []);
});

Deno.test("packForAgent(): a bundle that cannot be read is an error", async () => {
  await using fixture = await createFixture({});
  await assertRejects(() => packForAgent(`${fixture.file}x`, fixture.options, createTestIo()), Deno.errors.NotFound);
});
