import { computeDigest } from "../../lib/oci/digest.ts";
import { blobPath } from "../../lib/store/layout.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { makeBytes } from "../support/content.ts";
import { startCountingProxy } from "../support/counting_proxy.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { mountSmall } from "../support/mount.ts";
import { openS3Client, S3_BUCKET, s3Environment, startVersitygw } from "../support/object_storage.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const NAME = "registry.test/team/app";
const LAYER = makeBytes(12 * 1024 * 1024);

/** A registry with a bucket, and an upstream that has an image with a layer of 12 MiB. */
async function openRegistry(storageUrl: string) {
  const folder = await TestFolder.create();
  const upstream = startFaultUpstream();
  const image = upstream.addImage("team/app", "1", [LAYER]);
  const env = { HOME: folder.path, ...s3Environment({ url: storageUrl }) };
  const flags = [`--data=${folder.path}/data`, `--store=s3://${S3_BUCKET}/faults`];
  const crpe = await startCrpe([
    ...["registry", "--addr=127.0.0.1:0", ...flags, "--cache-max=64MiB"],
    `--upstream=registry.test=${upstream.url}`,
  ], { env });
  const digest = image.layers[0]!.digest;
  return {
    digest,
    crpe,
    upstream,
    /** Reads the layer. @returns the status, and whether the bytes are right */
    async read(): Promise<[status: number, isRight: boolean]> {
      const response = await fetch(`${crpe.url}/v2/${NAME}/blobs/${digest}`);
      return [response.status, await response.bytes().then((bytes) => computeDigest(bytes) === digest, () => false)];
    },
    async readManifest(): Promise<number> {
      const response = await fetch(`${crpe.url}/v2/${NAME}/manifests/1`);
      await response.body?.cancel();
      return response.status;
    },
    /** Waits until no download is left that began in a full storage: a client that joins it stores nothing. */
    async failed(client: ReturnType<typeof openS3Client>): Promise<void> {
      await crpe.printed("cannot complete");
      for (;;) {
        const metrics = await (await fetch(`${crpe.url}/metrics`)).text();
        const started = Number(/^crpe_downloads_total\S+ (\d+)$/m.exec(metrics)![1]);
        const ended = crpe.log().match(/the download of \S+ of \S+ from \S+ failed/g)?.length ?? 0;
        const isConfigStored = await client.size(blobPath(image.config.digest)) !== undefined;
        if (started === ended + Number(isConfigStored)) return;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    },
    verify: () => runCrpe(["verify", "--store", `s3://${S3_BUCKET}/faults`, `--data=${folder.path}/verify`], { env }),
    async [Symbol.asyncDispose]() {
      await crpe[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Waits until the bucket has a blob. */
async function waitForBlob(url: string, digest: ReturnType<typeof computeDigest>): Promise<void> {
  const client = openS3Client({ url }, "faults/");
  for (let tries = 0; await client.size(blobPath(digest)) === undefined; tries++) {
    assert(tries < 600, "the blob is not stored");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

peerTest(
  "[103] a full storage gives clients the right bytes, and nothing that is half visible",
  ["versitygw", "root", "mount"],
  async () => {
    await using mount = await mountSmall(8 * 1024 * 1024);
    const storage = await startVersitygw({ folder: mount.path });
    try {
      await using registry = await openRegistry(storage.url);
      assertEquals(await registry.readManifest(), 200);
      for (let i = 0; i < 2; i++) {
        const [status, isRight] = await registry.read();
        assertEquals([status, isRight], [200, true]);
      }
      const client = openS3Client(storage, "faults/");
      assertEquals(await client.size(blobPath(registry.digest)), undefined);
      const verified = await registry.verify();
      assertEquals(verified.code, 0, verified.stdout + verified.stderr);
      await registry.failed(client);
      const { success } = await new Deno.Command("mount", { args: ["-o", "remount,size=256m", mount.path] }).output();
      assert(success);
      assertEquals(await registry.read(), [200, true]);
      await waitForBlob(storage.url, registry.digest);
    } finally {
      storage.kill();
      // Else its files keep the mount busy.
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  },
);

peerTest("[103] a slow storage only takes longer", ["versitygw"], async () => {
  const storage = await startVersitygw();
  try {
    await using proxy = startCountingProxy(storage.url, { pace: 4 * 1024 + 1 });
    await using registry = await openRegistry(proxy.url);
    assertEquals([await registry.readManifest(), await registry.read()], [200, [200, true]]);
    await waitForBlob(storage.url, registry.digest);
    const verified = await registry.verify();
    assertEquals(verified.code, 0, verified.stdout + verified.stderr);
  } finally {
    storage.kill();
  }
});

peerTest(
  "[103] a storage that is killed during an upload, and started again, gets the blob",
  ["versitygw"],
  async () => {
    await using folder = await TestFolder.create();
    const first = await startVersitygw({ folder: folder.path });
    const port = Number(new URL(first.url).port);
    let storage = first;
    try {
      await using proxy = startCountingProxy(first.url, { pace: 16 * 1024 });
      await using registry = await openRegistry(proxy.url);
      assertEquals(await registry.readManifest(), 200);
      const reading = registry.read();
      await proxy.reached(proxy.bytes + 4 * 1024 * 1024);
      storage.kill();
      proxy.cut();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      storage = await startVersitygw({ folder: folder.path, port });
      assertEquals(await reading, [200, true]);
      assertEquals(await registry.read(), [200, true]);
      await waitForBlob(storage.url, registry.digest);
      const verified = await registry.verify();
      assertEquals(verified.code, 0, verified.stdout + verified.stderr);
    } finally {
      storage.kill();
    }
  },
);

peerTest("[103] a storage that answers SlowDown is asked again", ["versitygw"], async () => {
  const storage = await startVersitygw();
  try {
    await using proxy = startRefusingProxy(storage.url);
    await using registry = await openRegistry(proxy.url);
    proxy.refuse(4);
    assertEquals([await registry.readManifest(), await registry.read()], [200, [200, true]]);
    await waitForBlob(storage.url, registry.digest);
    assertEquals(proxy.refused, 4);
  } finally {
    storage.kill();
  }
});

const SLOW_DOWN = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

/** A TCP proxy that answers some new connections with 503 SlowDown, and ends them. */
function startRefusingProxy(target: string) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = Number(new URL(target).port);
  const open = new Set<Deno.Conn>();
  const state = { left: 0, refused: 0 };
  const close = (connection: Deno.Conn) => {
    open.delete(connection);
    try {
      connection.close();
    } catch {
      // It is closed already.
    }
  };
  const serve = async (client: Deno.Conn) => {
    open.add(client);
    if (state.left > 0) {
      state.left--;
      state.refused++;
      await client.read(new Uint8Array(65536));
      const head = `HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: ${SLOW_DOWN.length}\r\n\r\n`;
      await client.write(new TextEncoder().encode(head + SLOW_DOWN));
      return close(client);
    }
    const server = await Deno.connect({ hostname: "127.0.0.1", port });
    open.add(server);
    await Promise.allSettled([client.readable.pipeTo(server.writable), server.readable.pipeTo(client.writable)]);
    close(client);
    close(server);
  };
  const accepting = (async () => {
    for await (const client of listener) serve(client).catch(() => close(client));
  })().catch(() => {});
  return {
    url: `http://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`,
    /** Refuses so many of the next connections. Those that are open end, so that there are new ones. */
    refuse(count: number) {
      state.left = count;
      for (const connection of [...open]) close(connection);
    },
    get refused(): number {
      return state.refused;
    },
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const connection of [...open]) close(connection);
      await accepting;
    },
  };
}
