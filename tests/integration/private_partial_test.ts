import { computeDigest } from "../../lib/oci/digest.ts";
import { assert, assertEquals, assertGreater } from "../support/assert.ts";
import { CacheFixture, HOST, PATH, until } from "../support/cache_fixture.ts";
import { makeBytes } from "../support/content.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";

const MiB = 1024 * 1024;
const SIZE = 8 * MiB;
const SECRET = makeBytes(SIZE, 77);
const OTHER_HOST = "other.test";

/** Makes a manifest that names a layer by its digest. Anyone can publish one. */
function makeManifestOf(layer: string, size: number): Uint8Array<ArrayBuffer> {
  const config = { mediaType: "application/vnd.oci.empty.v1+json", digest: computeDigest("{}"), size: 2, data: "e30=" };
  const layers = [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: layer, size }];
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  return new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
}

// What the registry of the client states as the size of the blob, and where the client is.
const cases: [string, { readonly host: string; readonly size: number }][] = [
  ["another registry, which sends the rest", { host: OTHER_HOST, size: SIZE }],
  ["another registry, which states that this is all", { host: OTHER_HOST, size: 3 * MiB }],
  ["another repository of the registry", { host: HOST, size: SIZE }],
  ["another repository of the registry, which states that this is all", { host: HOST, size: 3 * MiB }],
];
for (const [what, { host, size }] of cases) {
  Deno.test(`[74] what an interrupted download of a private blob left is not given to clients of ${what}`, async () => {
    await using other = startFaultUpstream();
    await using fixture = await CacheFixture.start({ flags: [`--upstream=${OTHER_HOST}=${other.url}`] });
    const { upstream } = fixture;
    const { digest } = upstream.addBlob(PATH, SECRET);
    upstream.fail({ kind: "blob", method: "GET", times: 1, stallAfter: 4 * MiB });
    const path = `${fixture.data}/ingest`;
    const received = async () => {
      const names = (await fixture.folder.listFiles("data/ingest")).filter((name) => name.endsWith(".partial"));
      const sizes = await Promise.all(names.map(async (name) => (await Deno.stat(`${path}/${name}`)).size));
      return Math.max(0, ...sizes);
    };
    const cut = fixture.get(`blobs/${digest}`);
    await until("the first half is received", async () => await received() >= 4 * MiB);
    await fixture.kill();
    assert(!(await cut).isComplete);
    await fixture.restart();

    const foreign = host === HOST ? upstream : other;
    const { digest: manifest } = foreign.addManifest("mine/app", makeManifestOf(digest, size));
    if (host === OTHER_HOST) {
      // The registry of the client sends what it likes from the position on that is asked for.
      const wrong = makeBytes(size, 78);
      foreign.addBlob("mine/app", wrong, digest);
    }
    const get = (resource: string) =>
      fetch(fixture.url(resource, `${host}/mine/app`), { signal: AbortSignal.timeout(60_000) });
    assertEquals((await get(`manifests/${manifest}`)).status, 200);
    const bytes: Uint8Array[] = [];
    const response = await get(`blobs/${digest}`);
    try {
      for await (const chunk of response.body!) bytes.push(chunk);
    } catch {
      // The digest of what the other registry sent is wrong.
    }
    const given = new Uint8Array(await new Blob(bytes as BlobPart[]).arrayBuffer());
    assert(
      given.length < 64 || computeDigest(given.subarray(0, 64)) !== computeDigest(SECRET.subarray(0, 64)),
      `${given.length} bytes of the private blob were sent`,
    );

    // The repository that they were received for resumes from them.
    const from = upstream.bodyBytes;
    const again = await fixture.get(`blobs/${digest}`);
    assertEquals([again.isComplete, computeDigest(again.bytes)], [true, digest]);
    assertGreater(SIZE * 0.75, upstream.bodyBytes - from);
  });
}
