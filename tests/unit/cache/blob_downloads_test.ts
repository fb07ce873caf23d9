import { BlobDownloads } from "../../../lib/cache/blob_downloads.ts";
import { RunningDownloads } from "../../../lib/cache/running_downloads.ts";
import type { SharedDownload } from "../../../lib/cache/shared_download.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeBlob, makeManifest } from "../../support/content.ts";
import { FakeUpstream } from "../../support/fake_upstream.ts";
import { TestFolder } from "../../support/test_folder.ts";

const config = makeBlob(200, 2);
const layer = makeBlob(300_000, 3);

Deno.test("[103] a download in the background takes no claim, for which clients of other processes would wait", async () => {
  await using folder = await TestFolder.create();
  const claims: Digest[] = [];
  const claimDownload = (_: string, digest: Digest) => {
    claims.push(digest);
    return Promise.resolve(undefined);
  };
  const store = Object.assign(new DiskStore(folder.path), { claimDownload });
  const upstream = new FakeUpstream(config, layer, makeManifest(config, [layer]));
  const onEnd = () => Promise.resolve();
  const running = new RunningDownloads(store);
  const downloads = new BlobDownloads({ store, upstream, running, onEnd, onEvent() {}, warn() {} });
  for (const [content, isBackground] of [[layer, true], [config, false]] as const) {
    const { digest, size } = content.descriptor;
    await (await downloads.get("a.test/app", { digest, size, isBackground }) as SharedDownload).done;
  }
  assertEquals(claims, [config.descriptor.digest]);
});
