import { collectBucket } from "../../lib/object_store/collect_bucket.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { collectGarbage } from "../../lib/store/gc.ts";
import { assertEquals } from "../support/assert.ts";
import { makeBytes } from "../support/content.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { openS3Client, S3_BUCKET, s3Environment, startVersitygw, startWeed } from "../support/object_storage.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";
import { startS3Proxy } from "../support/s3_proxy.ts";

const NAME = "registry.test/team/app";
const DAY = 24 * 60 * 60 * 1000;
const image = buildImage({ files: { "a.txt": "1", "b.bin": makeBytes(400_000) } });
const PLACES = [
  ["a folder", []],
  ["a bucket of versitygw", ["versitygw"]],
  ["a bucket of SeaweedFS", ["weed"]],
] as const;

for (const [place, peers] of PLACES) {
  peerTest(`[35] [103] import and load beside a gc that has decided what it removes, in ${place}`, peers, async () => {
    const [engine] = peers;
    const storage = engine === undefined ? undefined : await (engine === "weed" ? startWeed() : startVersitygw());
    try {
      await using fixture = await createPackFixture({ [`${NAME}:1`]: image });
      const packed = await fixture.pack(makeKubePkg({ [`${NAME}:1`]: image.root.digest }), "release");
      assertEquals(packed.code, 0, packed.stderr);
      const env = { HOME: fixture.folder.path, ...(storage === undefined ? {} : s3Environment(storage)) };
      const prefix = crypto.randomUUID();
      const flags = storage === undefined ? ["--data=data"] : ["--data=data", `--store=s3://${S3_BUCKET}/${prefix}`];
      const options = { env, cwd: fixture.folder.path };
      const run = async (...args: string[]) => {
        const { code, stdout, stderr } = await runCrpe([...args, ...flags], options);
        assertEquals(code, 0, stdout + stderr);
      };
      const collect = async (onRemarked: () => Promise<void>) => {
        if (storage === undefined) {
          return await collectGarbage(`${fixture.folder.path}/data`, { untagged: true, onRemarked });
        }
        // Everything that is there now is old.
        await new Promise((resolve) => setTimeout(resolve, 1500));
        const start = Date.now() - 1000;
        await using proxy = await startS3Proxy(storage.url, {
          modified: (time) => time < start ? time - 2 * DAY : time,
        });
        const client = openS3Client({ ...storage, url: proxy.url }, `${prefix}/`);
        return await collectBucket({ client, name: "the bucket", untagged: true, warn: () => {}, onRemarked });
      };
      const assertServed = async (what: string) => {
        await run("verify");
        const crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", "--offline", ...flags], options);
        await using _crpe = crpe;
        for (const digest of [image.root.digest, ...image.blobs.keys()]) {
          const kind = digest === image.root.digest ? "manifests" : "blobs";
          const response = await fetch(`${crpe.url}/v2/${NAME}/${kind}/${digest}`);
          assertEquals([response.status, computeDigest(await response.bytes())], [200, digest], what);
        }
      };
      await run("import", "release.tgz");
      await run("save", `${NAME}:1`, "-o", "images.tar");
      for (const writer of [["import", "release.tgz"], ["load", "images.tar"]]) {
        await run("packages", "remove", "line4");
        // What `load` has stored has no package.
        if (storage === undefined) {
          await Deno.remove(`${fixture.folder.path}/data/docker/registry/v2/repositories`, { recursive: true });
        } else {
          const client = openS3Client(storage, `${prefix}/`);
          for await (const { key } of client.walk({ prefix: "docker/registry/v2/repositories/" })) {
            await client.remove(key);
          }
        }
        let writing: Promise<void> | undefined;
        await collect(async () => {
          writing = run(...writer);
          // In a folder, writers wait for the end of the collection.
          if (storage !== undefined) await writing;
        });
        await writing;
        await assertServed(writer[0]!);
      }
    } finally {
      storage?.kill();
    }
  });
}
