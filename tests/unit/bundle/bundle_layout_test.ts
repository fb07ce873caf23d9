import { gunzipSync } from "node:zlib";
import { formatIndexEntries } from "../../../lib/bundle/bundle_layout.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { parseReference } from "../../../lib/oci/reference.ts";
import { assertEquals } from "../../support/assert.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { fillStore, makeImage, makeKubePkg, makeUsualImage, pack } from "./bundle_support.ts";

const DESCRIPTOR = makeImage("linux/amd64").root.descriptor;
const REF_NAMES: readonly [string, Readonly<Record<string, string>>][] = [
  ["tags that differ are names", { "a.lan/app:1": "1", "a.lan/worker:2": "2" }],
  ["a tag of two images is spelled out, another one is not", {
    "a.lan/app:1.0": "a.lan/app:1.0",
    "a.lan/worker:1.0": "a.lan/worker:1.0",
    "nginx:1.27": "1.27",
  }],
  ["a name on Docker Hub is spelled out like any other", {
    "nginx:1": "docker.io/library/nginx:1",
    "busybox:1": "docker.io/library/busybox:1",
  }],
  ["an image without a tag is spelled out", {
    [`a.lan/app@${DESCRIPTOR.digest}`]: `a.lan/app@${DESCRIPTOR.digest}`,
    "a.lan/app:1": "1",
  }],
];
for (const [title, names] of REF_NAMES) {
  Deno.test(`[87] formatIndexEntries(): ${title}`, () => {
    const images = Object.keys(names).map((name) => ({ reference: parseReference(name), descriptor: DESCRIPTOR }));
    assertEquals(
      formatIndexEntries(images).map(({ annotations }) => annotations?.["org.opencontainers.image.ref.name"]),
      Object.values(names),
    );
  });
}

Deno.test("[87] packBundle() writes the same bytes in every release for images whose tags differ", async () => {
  const images = { "a.lan/app:1": makeUsualImage(), "nginx:2": makeImage("linux/amd64") };
  const store = await fillStore(new MemoryStore(), images);
  const { bytes } = await pack(makeKubePkg({ "a.lan/app:1": "", "nginx:2": "" }), store);
  // The digest is that of the tar, because deflate data depends on the version of zlib.
  assertEquals(
    computeDigest(new Uint8Array(gunzipSync(bytes))),
    "sha256:eeceae4d3e0c19eedbdf7f5036139d21bc3e7a3b11bab09711da8510d0db6ebf",
  );
});
