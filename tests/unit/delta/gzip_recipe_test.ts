import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { constants, createGzip, gunzipSync, gzipSync } from "node:zlib";
import { COPIED_NAME, INNER_NAME } from "../../../lib/delta/delta_format.ts";
import { modelById, modelNames, MODELS } from "../../../lib/delta/models/all.ts";
import { GO6 } from "../../../lib/delta/models/go6.ts";
import { rebuildGzip } from "../../../lib/delta/rebuild_gzip.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { describeBytes, inChunks, rebuildBytes } from "../../support/recipes.ts";

const encoder = new TextEncoder();

/** Text, or bytes that do not compress, from a generator with a fixed seed. */
function makeBytes(size: number, kind: "text" | "random"): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let state = 12_345;
  for (let index = 0; index < size; index++) {
    state = Math.imul(state, 1_103_515_245) + 12_345 >>> 0;
    bytes[index] = kind === "random" ? state >>> 24 : 97 + (state >>> 28) % (1 + index % 7);
  }
  return bytes;
}

// One set of parameters, so that a case takes little time.
const ONE_MODEL = [{ ...GO6, parameterSets: () => [Uint8Array.of(6)] }];

// This runtime's own zlib is no compressor that has a model: everything below is made of corrections.
const SIZES = [0, 1, 2, 3, 4, 100, 258, 259, 32_506, 32_767, 32_768, 65_274, 65_535, 65_536, 150_000];
for (const level of [0, 1, 4, 6, 9]) {
  Deno.test(`level ${level} of any compressor is rebuilt bit by bit`, async () => {
    for (const size of SIZES) {
      const text = makeBytes(size, "text");
      const gzip = gzipSync(text, { level });
      const { recipe, plain } = await describeBytes(gzip, { models: ONE_MODEL, chunk: 4099 });
      assert(recipe !== undefined, `${size} bytes have no recipe`);
      assertEquals(plain, text);
      assertEquals(recipe.plainSize, size);
      assertEquals(await rebuildBytes(plain, recipe, 1000), new Uint8Array(gzip), `${size} bytes`);
    }
  });
}

const STREAMS: Record<string, () => Uint8Array | Promise<Uint8Array>> = {
  "bytes that do not compress": () => gzipSync(makeBytes(200_000, "random"), { level: 6 }),
  "fixed codes": () => gzipSync(makeBytes(50_000, "text"), { strategy: constants.Z_FIXED }),
  "codes without matches": () => gzipSync(makeBytes(50_000, "text"), { strategy: constants.Z_HUFFMAN_ONLY }),
  "runs of the longest match": () => gzipSync(new Uint8Array(3_000_000), { level: 9 }),
  "several members": () => joinChunks([10, 0, 40_000].map((size) => gzipSync(makeBytes(size, "text")))),
  "bytes after the last member": () => joinChunks([gzipSync(makeBytes(5000, "text")), encoder.encode("\0\0\0more")]),
  "a header with all its fields": () => {
    const gzip = gzipSync(makeBytes(3000, "text"));
    const header = gzip.slice(0, 10);
    header[3] = 2 | 4 | 8 | 16;
    return joinChunks([
      header,
      Uint8Array.of(2, 0, 7, 7),
      encoder.encode("name\0comment\0"),
      Uint8Array.of(1, 2),
      gzip.slice(10),
    ]);
  },
  "a block that ends in bits that are not zero": () => {
    const gzip = new Uint8Array(gzipSync(new Uint8Array(), { level: 6 }));
    // An empty block with fixed codes has 10 bits: the other 6 of the second byte are padding.
    assertEquals([...gzip.subarray(10, 12)], [3, 0]);
    gzip[11] = 0b1010_1000;
    return gzip;
  },
  "a stored block whose padding is not zero": () => {
    const gzip = new Uint8Array(gzipSync(makeBytes(10, "random"), { level: 0 }));
    gzip[10]! |= 0b0101_1000;
    return gzip;
  },
  "blocks that were flushed": async () => {
    const stream = createGzip();
    const parts: Uint8Array[] = [];
    stream.on("data", (part: Uint8Array) => parts.push(part));
    for (const size of [1, 5000, 0, 70_000]) {
      stream.write(makeBytes(size, "text"));
      await new Promise<void>((resolve) => stream.flush(() => resolve()));
    }
    await new Promise<void>((resolve) => stream.on("end", () => resolve()).end());
    return joinChunks(parts);
  },
};
for (const [name, make] of Object.entries(STREAMS)) {
  Deno.test(`a stream is rebuilt bit by bit: ${name}`, async () => {
    const gzip = new Uint8Array(await make());
    const { recipe, plain } = await describeBytes(gzip, { models: ONE_MODEL, chunk: 1777 });
    assert(recipe !== undefined);
    assertEquals(await rebuildBytes(plain, recipe), gzip);
  });
}

const UNSUITABLE: Record<string, () => Uint8Array> = {
  "nothing": () => new Uint8Array(),
  "no gzip": () => encoder.encode("a text that is long enough"),
  "a cut stream": () => gzipSync(makeBytes(20_000, "text")).subarray(0, 4000),
  "a wrong checksum": () => {
    const gzip = gzipSync(makeBytes(20_000, "text"));
    gzip[gzip.length - 6]! ^= 1;
    return gzip;
  },
  "a damaged block": () => gzipSync(makeBytes(20_000, "text")).fill(255, 100, 120),
  "a match before the start": () =>
    Uint8Array.of(...gzipSync("").subarray(0, 10), 0x03, 0x02, 0x00, ...Array(8).fill(0)),
};
for (const [name, make] of Object.entries(UNSUITABLE)) {
  Deno.test(`a stream has no recipe: ${name}`, async () => {
    assertEquals((await describeBytes(make())).recipe, undefined);
  });
}

Deno.test("a stream that no model predicts has no recipe", async () => {
  const gzip = gzipSync(makeBytes(300_000, "text"), { level: 1 });
  assertEquals((await describeBytes(gzip, { models: ONE_MODEL, maxCost: 0.01 })).recipe, undefined);
  const limits = { sectionBytes: 1000, plainBytes: 1e9 };
  assertEquals((await describeBytes(gzip, { models: ONE_MODEL, limits })).recipe, undefined);
  assertEquals(
    (await describeBytes(gzip, { models: ONE_MODEL, limits: { sectionBytes: 1e9, plainBytes: 299_999 } })).recipe,
    undefined,
  );
});

Deno.test("describing and rebuilding stop at a signal, and close what they read", async () => {
  const gzip = gzipSync(makeBytes(300_000, "text"));
  const { recipe, plain } = await describeBytes(gzip, { models: ONE_MODEL });
  assert(recipe !== undefined);
  let closed = 0;
  async function* source(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    try {
      yield* inChunks(bytes, 1000);
    } finally {
      closed++;
    }
  }
  const signal = AbortSignal.abort(new Error("stopped"));
  await assertRejects(() => describeBytes(gzip, { signal }), Error, "stopped");
  await assertRejects(
    async () => await Array.fromAsync(rebuildGzip(source(plain), recipe, { findModel: modelById, signal })),
    Error,
    "stopped",
  );
  assertEquals(closed, 1);
});

Deno.test("the plain bytes of a recipe are those of another decoder", async () => {
  const gzip = gzipSync(makeBytes(150_000, "text"), { level: 9 });
  assertEquals((await describeBytes(gzip, { models: ONE_MODEL })).plain, new Uint8Array(gunzipSync(gzip)));
});

Deno.test("an inventory has the names of all models, of inner streams and of copied tokens", () => {
  const names = modelNames();
  assertEquals(names.splice(-2), [INNER_NAME, COPIED_NAME]);
  assertEquals(names.length, MODELS.length);
  for (const name of names) {
    const [id, version] = name.split("/");
    assertEquals(modelById(id!, Number(version))?.id, id);
    assertEquals(modelById(id!, Number(version) + 1000), undefined);
  }
});
