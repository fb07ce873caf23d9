import type { ResolvedManifest } from "../../../lib/content/source.ts";
import { createRegistryHandler } from "../../../lib/registry/handler.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeBlob, makeManifest } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";

const manifest = makeManifest(makeBlob(100, 1), []);
const stale = '110 crpe "Response is Stale"';
const missing = '199 crpe "Content of this image is missing"';

const rows: [string, Partial<ResolvedManifest>, string | null][] = [
  ["a fresh, complete image has no warning", {}, null],
  ["a stale tag has a warning", { isStale: true }, stale],
  ["[68] an incomplete image has a warning", { isIncomplete: true }, missing],
  [
    "[68] a stale tag of an incomplete image has two warnings",
    { isStale: true, isIncomplete: true },
    `${stale}, ${missing}`,
  ],
];
for (const [what, marks, warning] of rows) {
  Deno.test(`${what}, with GET and HEAD`, async () => {
    const store = new MemoryStore();
    await store.writeManifest("docker.io/library/app", manifest.descriptor, manifest.bytes);
    const descriptor = { ...manifest.descriptor, ...marks };
    const catalog = Object.assign(store, { resolve: () => Promise.resolve(descriptor) });
    for (const method of ["GET", "HEAD"]) {
      const answer = createRegistryHandler(catalog);
      const response = await answer(new Request("http://crpe/v2/app/manifests/1.0", { method }));
      await response.body?.cancel();
      assertEquals([response.status, response.headers.get("warning")], [200, warning]);
    }
  });
}
