import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { ApiTokens } from "../../../lib/agent/check_token.ts";
import { createAgentHandler } from "../../../lib/agent/handler.ts";
import { packBundle } from "../../support/pack_bundle.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildImage } from "../../support/images.ts";
import { makeKubePkg } from "../../support/kubepkg.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { writeImage } from "../../support/put_image.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { listPending } from "../../support/list_pending.ts";

const REPO = "registry.test/app";
const TOKEN = "a-token-of-a-test";
const IMAGE = buildImage({ files: { a: "b" } });

async function packApp(version: string, image = IMAGE, isDelta = false) {
  const source = new MemoryStore();
  await writeImage(source, `${REPO}:1`, image);
  const pieces: Uint8Array[] = [];
  const kubepkg = parseKubePkg(makeKubePkg({ [`${REPO}:1`]: "" }, { version, data: { version } }));
  const have = new Set(isDelta ? image.blobs.keys() : []);
  const result = await packBundle(kubepkg, source, {
    have,
    output: { write: (bytes) => void pieces.push(bytes.slice()) },
  });
  return { kubepkg: result.kubepkg, bundle: joinChunks(pieces) };
}

const INSTALLED = await packApp("2.0.0");
const OTHER = buildImage({ files: { c: "d" } });
const refused: [string, Awaited<ReturnType<typeof packApp>>, number | undefined, number, string][] = [
  ["a downgrade", await packApp("1.0.0"), undefined, 409, "CONFLICT"],
  ["a package whose omitted blobs are missing", await packApp("3.0.0", OTHER, true), undefined, 422, "INCOMPLETE"],
  ["a package that does not fit", await packApp("3.0.0", OTHER), 10, 507, "NO_SPACE"],
];
for (const [what, { kubepkg, bundle }, free, status, code] of refused) {
  Deno.test(`POST /kubepkgs/plan refuses ${what}, also with dry-run, and records nothing`, async () => {
    await using folder = await TestFolder.create();
    const [store, records] = [new DiskStore(folder.path), new PackageRecords(folder.path)];
    const room: { bytes?: number } = {};
    const handler = createAgentHandler({
      store,
      records,
      handover: undefined,
      node: { id: "node", platforms: [] },
      tokens: new ApiTokens(TOKEN),
      isOwnHost: () => true,
      maxBundle: undefined,
      freeBytes: () => Promise.resolve(room.bytes),
      takeLease: () => Promise.resolve({ [Symbol.dispose]() {} }),
      listInventory: () => Promise.resolve([]),
      describeError: (error) => (error as Error).message,
      onImport() {},
      onPushed() {},
      onError() {},
      now: () => performance.now(),
      stallTimeout: 10_000,
    });
    const ask = (method: string, path: string, body: BodyInit) => {
      const headers = { authorization: `Bearer ${TOKEN}` };
      return handler(new Request(`http://agent.test${path}`, { method, headers, body }));
    };
    assertEquals((await ask("PUT", "/kubepkgs", INSTALLED.bundle)).status, 200);
    if (free !== undefined) room.bytes = free;
    const document = JSON.stringify(kubepkg);
    for (
      const [method, path, body] of [
        ["PUT", "/kubepkgs?dry-run=true", bundle],
        ["POST", "/kubepkgs/plan?dry-run=true", document],
        ["POST", "/kubepkgs/plan", document],
      ] as const
    ) {
      const answer = await ask(method, path, body);
      const { errors } = await answer.json();
      assertEquals([answer.status, errors?.[0]?.code], [status, code], `${method} ${path}`);
    }
    assertEquals(await listPending(records.pending), []);
  });
}
