import { takeCollectionLease } from "../../lib/object_store/collect_bucket.ts";
import { takeLease } from "../../lib/object_store/object_lease.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { startCountingProxy } from "../support/counting_proxy.ts";
import { runCrpe, spawnCrpe, startCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { openS3Client, S3_BUCKET, s3Environment, startVersitygw, startWeed } from "../support/object_storage.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const NAME = "registry.test/team/app";
const SKEWS = ["-2h", "+0", "+2h"];
const STARTS = { versitygw: startVersitygw, weed: startWeed };

/** What gives a program a clock that is wrong by this much. The program `faketime` would stay between it and its signals. */
const skewed = (skew: string) => ({ LD_PRELOAD: library!, FAKETIME: skew, FAKETIME_DONT_FAKE_MONOTONIC: "1" });
const library = [...Deno.readDirSync("/usr/lib")].map(({ name }) => `/usr/lib/${name}/faketime/libfaketime.so.1`).find(
  (path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  },
);

for (const engine of ["versitygw", "weed"] as const) {
  peerTest(
    `[103] ${engine}: replicas whose clocks are hours apart download a blob once`,
    [engine, "faketime"],
    async () => {
      const storage = await STARTS[engine]();
      try {
        await using folder = await TestFolder.create();
        await using upstream = startFaultUpstream();
        const added = upstream.addImage("team/app", "1", [1, 2].map((fill) => new Uint8Array(600_000).fill(fill)));
        const env = { HOME: folder.path, ...s3Environment(storage) };
        await using stack = new AsyncDisposableStack();
        const replicas = await Promise.all(SKEWS.map(async (skew, i) => {
          const args = [
            "registry",
            "--addr=127.0.0.1:0",
            `--data=${folder.path}/${i}`,
            `--store=s3://${S3_BUCKET}/skew`,
          ];
          return stack.use(
            await startCrpe([...args, `--upstream=registry.test=${upstream.url}`], {
              env: { ...env, ...skewed(skew) },
            }),
          );
        }));
        await Promise.all(replicas.flatMap(({ url }) =>
          [added.config, ...added.layers].map(async ({ digest }) => {
            const manifest = await fetch(`${url}/v2/${NAME}/manifests/1`);
            assertEquals(computeDigest(await manifest.bytes()), added.manifest.digest);
            const blob = await fetch(`${url}/v2/${NAME}/blobs/${digest}`);
            assertEquals([blob.status, computeDigest(await blob.bytes())], [200, digest]);
          })
        ));
        const downloads = upstream.requests.filter(({ kind, method }) => kind === "blob" && method === "GET");
        assertEquals(downloads.length, 3, downloads.map(({ path }) => path).join());
      } finally {
        storage.kill();
      }
    },
  );
}

peerTest(
  "[103] a machine with a wrong clock neither steals a lease nor loses its own",
  ["versitygw", "faketime"],
  async () => {
    const storage = await startVersitygw();
    try {
      const images = ["1", "2", "3"].map((text) => buildImage({ files: { "a.txt": text } }));
      await using fixture = await createPackFixture(
        Object.fromEntries(images.map((image, i) => [`${NAME}:${i}`, image])),
      );
      for (const [i, image] of images.entries()) {
        const release = makeKubePkg({ [`${NAME}:${i}`]: image.root.digest }, { version: `${i + 1}.0.0` });
        assertEquals((await fixture.pack(release, `release${i}`)).code, 0);
      }
      const client = openS3Client(storage, "locks/");
      const store = `--store=s3://${S3_BUCKET}/locks`;
      const optionsOf = (skew: string, url = storage.url) => ({
        env: { HOME: fixture.folder.path, ...s3Environment({ url }), ...skewed(skew) },
        cwd: fixture.folder.path,
      });
      {
        await using _lease = await takeCollectionLease(client);
        for (const skew of SKEWS) {
          const { code, stderr } = await runCrpe(["gc", `--data=gc`, store], optionsOf(skew));
          assertEquals(code, 1, stderr);
          assertStringIncludes(stderr, "another collection is in progress");
        }
      }
      for (const [i, skew] of SKEWS.entries()) {
        await using proxy = startCountingProxy(storage.url);
        const lock = (await takeLease({ client, key: "crpe/records/lock", ttl: 60_000, owner: "test", isKept: true }))!;
        const importing = spawnCrpe(
          ["import", `release${i}.tgz`, `--data=machine${i}`, store],
          optionsOf(skew, proxy.url),
        );
        const state = { isEnded: false };
        importing.finished.then(() => state.isEnded = true);
        // It asks for the lock again and again.
        await proxy.reached(15_000);
        assertEquals([state.isEnded, lock.isHeld], [false, true]);
        await lock[Symbol.asyncDispose]();
        const { code, stderr } = await importing.finished;
        assertEquals(code, 0, stderr);
      }
      const { stdout } = await runCrpe(["packages", "--json", "--data=last", store], optionsOf("+2h"));
      assertEquals(JSON.parse(stdout)[0].spec.version, "3.0.0");
      assertEquals((await runCrpe(["gc", "--data=gc", store], optionsOf("-2h"))).code, 0);
    } finally {
      storage.kill();
    }
  },
);
