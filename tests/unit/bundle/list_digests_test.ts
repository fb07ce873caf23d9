import { listBundleDigests } from "../../../lib/bundle/list_digests.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { CorruptError, RefusedError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { filesOf, fillStore, makeKubePkg, makeTgz, makeUsualImage, pack } from "./bundle_support.ts";

const IMAGE = makeUsualImage();
const NEEDED = new Set([...IMAGE.blobs, ...IMAGE.manifests].map(({ descriptor }) => descriptor.digest));
const KUBEPKG = makeKubePkg({ "app:1": "" });

async function packed(have?: ReadonlySet<Digest>) {
  const store = await fillStore(new MemoryStore(), { "app:1": IMAGE });
  return (await pack(KUBEPKG, store, have === undefined ? {} : { have })).bytes;
}

Deno.test("listBundleDigests() lists what a bundle needs, and reads only its first entry", async () => {
  const bytes = await packed();
  let read = 0;
  const stream = streamOf(bytes, 1000).pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => {
        read += chunk.length;
        controller.enqueue(chunk);
      },
    }),
  );
  assertEquals(await listBundleDigests(stream), NEEDED);
  assert(read < bytes.length / 2, `${read} of ${bytes.length} bytes were read`);
});

Deno.test("listBundleDigests() lists omitted content too", async () => {
  assertEquals(await listBundleDigests(streamOf(await packed(NEEDED))), NEEDED);
});

Deno.test("listBundleDigests() lists the entries of a bundle without a declaration", async () => {
  const bytes = makeTgz(filesOf(KUBEPKG, IMAGE));
  assertEquals(await listBundleDigests(streamOf(bytes)), NEEDED);
  await assertRejects(() => listBundleDigests(streamOf(bytes.slice(0, -1000)), "old.tgz"), CorruptError, "old.tgz");
});

Deno.test("listBundleDigests() refuses a part, and a file that is not a bundle", async () => {
  const part = { id: computeDigest("x"), number: 2, count: 3, carries: [] };
  const bytes = makeTgz([["kubepkg.json", JSON.stringify({ ...KUBEPKG, status: { digests: [], part } })]]);
  await assertRejects(() => listBundleDigests(streamOf(bytes), "a.tgz"), RefusedError, "a.tgz: it is part 2 of 3");
  await assertRejects(() => listBundleDigests(streamOf(new Uint8Array(2000)), "a.tgz"), CorruptError, "a.tgz");
});
