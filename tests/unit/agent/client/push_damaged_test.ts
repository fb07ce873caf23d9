import { joinChunks } from "../../../../lib/bytes/join_chunks.ts";
import { gunzipSync, gzipSync } from "node:zlib";
import { AgentClient } from "../../../../lib/agent/client/agent_client.ts";
import { pushBundle } from "../../../../lib/agent/client/push_bundle.ts";
import { packBundle } from "../../../support/pack_bundle.ts";
import { FileSource } from "../../../../lib/bytes/file_source.ts";
import { parseKubePkg } from "../../../../lib/kubepkg/parse_kubepkg.ts";
import { CorruptError } from "../../../../lib/oci/error.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { makeBytes } from "../../../support/content.ts";
import { CountedFile } from "../../../support/counted_file.ts";
import { buildImage } from "../../../support/images.ts";
import { makeKubePkg } from "../../../support/kubepkg.ts";
import { MemoryStore } from "../../../support/memory_store.ts";
import { writeImage } from "../../../support/put_image.ts";

const REPO = "registry.test/app";
const HEADER_BYTES = 24;

async function packApp(): Promise<Uint8Array<ArrayBuffer>> {
  const store = new MemoryStore();
  await writeImage(
    store,
    `${REPO}:1`,
    buildImage({ files: { "a.bin": makeBytes(300_000) }, layerCompression: "none" }),
  );
  const pieces: Uint8Array[] = [];
  const kubepkg = parseKubePkg(makeKubePkg({ [`${REPO}:1`]: "" }, { data: { port: "8080" } }));
  await packBundle(kubepkg, store, { output: { write: (bytes) => void pieces.push(bytes.slice()) } });
  return joinChunks(pieces);
}

/** Pushes to an agent that holds all blobs. @returns the requests that it received, and the error of the push */
async function push(bundle: Uint8Array<ArrayBuffer>): Promise<{ asked: string[]; error: unknown }> {
  const asked: string[] = [];
  const client = new AgentClient({
    url: "",
    token: "t",
    send: async ({ method, url, body }) => {
      asked.push(`${method} ${url}`);
      await body?.stream.pipeTo(new WritableStream());
      const answer = { name: "line4", version: "1.0.0", verdict: "upgrade", missing: [] };
      return { status: 200, bytes: new TextEncoder().encode(JSON.stringify(answer)) };
    },
    force: false,
    stallTimeout: 5000,
    answerTimeout: 5000,
  });
  const error = await pushBundle({
    client,
    what: "p.tgz",
    open: () => Promise.resolve(new FileSource(new CountedFile(bundle))),
    size: bundle.length,
    dryRun: false,
    onProgress() {},
    onRetry() {},
    sleep: () => Promise.resolve(),
    delayOf: () => 0,
  }).then(() => undefined, (error) => error);
  return { asked, error };
}

const TGZ = await packApp();

Deno.test("[48] pushBundle() sends no request for a package with a flipped bit to an agent that holds all blobs", async () => {
  assertEquals(await push(TGZ), { asked: ["POST /kubepkgs/plan", "PUT /kubepkgs"], error: undefined });
  const head = new DataView(TGZ.buffer).getUint32(16, true);
  let refused = 0;
  for (let at = HEADER_BYTES; at < HEADER_BYTES + head; at++) {
    const bytes = TGZ.slice();
    bytes[at]! ^= 1 << at % 8;
    const { asked, error } = await push(bytes);
    // Some bits of a deflate stream have no meaning.
    if (error === undefined) continue;
    assert(error instanceof CorruptError, `byte ${at}: ${error}`);
    assertEquals(asked, [], `byte ${at}`);
    refused++;
  }
  assert(refused > head * 0.97, `${refused} of ${head}`);
});

Deno.test("[48] pushBundle() does not install a file with a wrong checksum", async () => {
  const bytes = new Uint8Array(gzipSync(gunzipSync(TGZ)));
  bytes[bytes.length - 6]! ^= 1;
  const { asked, error } = await push(bytes);
  assert(error instanceof CorruptError, `${error}`);
  assertEquals(asked, ["POST /kubepkgs/plan"]);
});
