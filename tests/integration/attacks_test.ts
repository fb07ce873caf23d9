import { DiskStore } from "../../lib/store/disk_store.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { type Attack, type AttackTarget, openSilent, openStreams, openUnread } from "../support/attacks.ts";
import { makeCertificate } from "../support/certificate.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeLargeLayer } from "../support/large_blob.ts";
import { peerTest } from "../support/peers.ts";
import { writeImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const FILES = 512;
// What the process may have in memory: 80 MiB for itself, the buffers and caches, and what is not collected yet.
const MEMORY_KIB = 320 * 1024;

const ATTACKS: readonly [
  what: string,
  isTls: boolean,
  open: (target: AttackTarget, paths: { blob: string; missing: string }) => Promise<Attack>,
][] = [
  [
    "8 HTTP/2 connections of 200 streams that are not read",
    false,
    (target, { blob }) => openStreams(target, { connections: 8, streams: 200, path: blob }),
  ],
  ["600 clients that do not read", false, (target, { blob }) => openUnread(target, 600, blob)],
  ["600 clients that wait for a dead upstream", false, (target, { missing }) => openUnread(target, 600, missing)],
  ["600 silent connections over https", true, (target) => openSilent(target, 600)],
];

for (const [what, isTls, open] of ATTACKS) {
  peerTest(`[88] content is served beside ${what}, with ${FILES} open files`, ["openssl"], async () => {
    await using folder = await TestFolder.create();
    const image = buildImage({ largeLayer: makeLargeLayer(8 * 2 ** 20) });
    await writeImage(new DiskStore(`${folder.path}/data`), "registry.test/team/app:1.0", image);
    const { cert, key } = await makeCertificate();
    await folder.write("cert.pem", cert);
    await folder.write("key.pem", key);
    // It accepts connections, and never answers.
    using dead = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    await using crpe = await startCrpe([
      ...["registry", "--addr=127.0.0.1:0", "--quiet", `--data=${folder.path}/data`],
      `--upstream=dead.test=http://127.0.0.1:${(dead.addr as Deno.NetAddr).port}`,
      ...(isTls ? [`--tls-cert=${folder.path}/cert.pem`, `--tls-key=${folder.path}/key.pem`] : []),
    ], { within: ["sh", "-c", `ulimit -n ${FILES}; exec "$@"`, "sh"] });
    using client = Deno.createHttpClient({ caCerts: [cert], poolMaxIdlePerHost: 0 });
    const get = async (path: string) => {
      const response = await fetch(`${crpe.url}${path}`, { client });
      await response.arrayBuffer();
      return response.status;
    };
    while (!/open files|clients at a time/.test(crpe.log())) await new Promise((resolve) => setTimeout(resolve, 20));
    const target = { port: Number(new URL(crpe.url).port) };
    await using _attack = await open(target, {
      blob: `/v2/registry.test/team/app/blobs/${[...image.largeBlobs.keys()][0]}`,
      missing: "/v2/dead.test/a/manifests/1",
    });
    for (let i = 0; i < 3; i++) {
      assertEquals(await get("/v2/registry.test/team/app/manifests/1.0"), 200);
      assertEquals(await get("/healthz"), 200);
      for (const digest of [...image.blobs.keys(), ...image.largeBlobs.keys()]) {
        assertEquals(await get(`/v2/registry.test/team/app/blobs/${digest}`), 200);
      }
    }
    const [, peak] = /^VmHWM:\s+(\d+) kB/m.exec(await Deno.readTextFile(`/proc/${crpe.pid}/status`)) ?? [];
    assert(Number(peak) < MEMORY_KIB, `${peak} KiB`);
    const metrics = await (await fetch(`${crpe.url}/metrics`, { client })).text();
    assert(/^crpe_shed_total\{/m.test(metrics), metrics);
  });
}
