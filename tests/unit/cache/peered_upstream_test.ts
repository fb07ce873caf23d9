import { type Peer, PeeredUpstream } from "../../../lib/cache/peered_upstream.ts";
import type { UpstreamBlob } from "../../../lib/cache/upstream.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { makeBlob, makeManifest } from "../../support/content.ts";
import { FakeUpstream, unreachable } from "../../support/fake_upstream.ts";

const REPO = "registry.example/team/app";
const blob = makeBlob(300_000, 1);
const manifest = makeManifest(makeBlob(100, 2), [blob]);
const { digest } = blob.descriptor;

async function readBlob(opened: UpstreamBlob | undefined): Promise<Uint8Array | undefined> {
  return opened && await new Response(opened.body).bytes();
}

function open({ held = [manifest, blob], isAlone = false } = {}) {
  const peer = new FakeUpstream(...held);
  const upstream = isAlone ? undefined : new FakeUpstream(manifest, blob);
  for (const each of [peer, upstream]) each?.tags.set("1.0", manifest.descriptor.digest);
  let time = 0;
  const source = new PeeredUpstream({ peers: [peer], upstream, now: () => time });
  return { peer, upstream: upstream!, source, wait: (milliseconds: number) => time += milliseconds };
}

Deno.test("[102] what a peer holds is not asked of the upstream; tags are", async () => {
  const { peer, upstream, source } = open();
  assertEquals((await source.resolve(REPO, "1.0"))?.digest, manifest.descriptor.digest);
  assertEquals(await source.readManifest(REPO, manifest.descriptor.digest), manifest.bytes);
  assertEquals(await source.statBlob(REPO, digest), blob.bytes.length);
  assertEquals(await readBlob(await source.openBlobWith(REPO, digest, { size: blob.bytes.length })), blob.bytes);
  assertEquals(upstream.asked, ["get 1.0"]);
  assertEquals(peer.asked.length, 4);
});

Deno.test("[102] what no peer holds comes from the upstream, also while a peer fails or hangs", async () => {
  const { upstream } = open();
  const failing = new FakeUpstream();
  failing.failure = unreachable();
  const hanging = new Proxy(failing, { get: () => () => new Promise(() => {}) }) as Peer;
  for (const peers of [[new FakeUpstream()], [failing], [hanging], [hanging, failing, new FakeUpstream()]]) {
    const source = new PeeredUpstream({ peers, upstream, now: () => 0 });
    assertEquals(await readBlob(await source.openBlobWith(REPO, digest, {})), blob.bytes);
    assertEquals(await source.readManifest(REPO, manifest.descriptor.digest), manifest.bytes);
  }
  // A quick peer is not kept waiting by a slow one.
  const source = new PeeredUpstream({ peers: [hanging, new FakeUpstream(blob)], upstream: undefined, now: () => 0 });
  assertEquals(await source.statBlob(REPO, digest), blob.bytes.length);
});

Deno.test("[102] a tag of a peer counts when the upstream fails, does not have it, or may not be used", async () => {
  const { source, upstream } = open();
  upstream.failure = unreachable();
  assertEquals((await source.headManifest(REPO, "1.0"))?.digest, manifest.descriptor.digest);
  upstream.failure = undefined;
  upstream.tags.clear();
  assertEquals((await source.resolve(REPO, "1.0"))?.digest, manifest.descriptor.digest);
  const alone = open({ isAlone: true });
  assertEquals((await alone.source.resolve(REPO, "1.0"))?.digest, manifest.descriptor.digest);
  assertEquals([source.hasOnlyPeers(REPO), alone.source.hasOnlyPeers(REPO)], [false, true]);
  assertEquals(await alone.source.resolve(REPO, "2.0"), undefined);
});

Deno.test("[102] the upstream's failure is reported when no peer has the content either", async () => {
  const { source, upstream } = open({ held: [] });
  upstream.failure = new RegistryError("TOOMANYREQUESTS", "Cannot read: too many requests");
  await assertRejects(() => source.resolve(REPO, "2.0"), RegistryError, "too many requests");
  await assertRejects(() => source.openBlobWith(REPO, digest, {}), RegistryError, "too many requests");
});

Deno.test("[102] a transfer from a peer that breaks off continues at the upstream, at its byte", async () => {
  const { peer, upstream, source } = open();
  let chunks = 0;
  peer.beforeChunk = () => ++chunks > 2 ? Promise.reject(unreachable()) : Promise.resolve();
  const opened = await source.openBlobWith(REPO, digest, { size: blob.bytes.length });
  assertEquals(await readBlob(opened), blob.bytes);
  const [asked] = upstream.asked;
  assertEquals(asked?.startsWith(`blob ${digest} {"start":`) && !asked.includes('"start":0'), true, asked);
});

Deno.test("[102] a blob that is asked for again soon was not what it should be: it comes from the upstream", async () => {
  const { peer, upstream, source, wait } = open();
  const read = async () => await readBlob(await source.openBlobWith(REPO, digest, { size: blob.bytes.length }));
  await read();
  await read();
  const count = (it: FakeUpstream) => it.asked.filter((asked) => asked.startsWith("blob ")).length;
  assertEquals([count(peer), count(upstream)], [1, 1]);
  wait(11 * 60_000);
  await read();
  assertEquals([count(peer), count(upstream)], [2, 1]);
});

Deno.test("[102] a peer whose blob has another size is not used", async () => {
  const { peer, upstream, source } = open();
  peer.content.set(digest, { ...blob, bytes: blob.bytes.slice(1) });
  assertEquals(await readBlob(await source.openBlobWith(REPO, digest, { size: blob.bytes.length })), blob.bytes);
  assertEquals(upstream.asked.length, 1);
});
