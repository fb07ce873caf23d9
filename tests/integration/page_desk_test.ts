import { assert, assertEquals } from "../support/assert.ts";
import { findBarriers, startBrowser, takeScreenshot } from "../support/browser.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";

const IMAGE = "registry.test/app:1";

peerTest(
  "page: a registry's outbox is listed; a bundle is downloaded, and deleted after a second yes",
  ["chromium"],
  async () => {
    await using fixture = await createPackFixture({ [IMAGE]: buildImage() });
    const { folder, processOptions } = fixture;
    const packed = await fixture.pack(makeKubePkg({ [IMAGE]: "" }), "line4");
    assertEquals(packed.code, 0, packed.stderr);
    const kept = await fixture.crpe("pack", "line4.json", "--outbox", "--data=source", "--offline");
    assertEquals(kept.code, 0, kept.stderr);
    await using registry = await startCrpe(
      ["registry", "--addr=127.0.0.1:0", "--data=source", "--offline"],
      processOptions,
    );
    await using browser = await startBrowser();
    const { page, foreign, problems } = await browser.open();
    const { stdout } = await fixture.crpe(
      "registry",
      "--pair",
      "--data=source",
      `--addr=${new URL(registry.url).host}`,
    );
    await page.goto(/^http:\S+#t=\S+$/m.exec(stdout)![0]);
    await page.goto(`${registry.url}/#/releases`);
    const downloading = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download line4 1.0.0" }).click();
    const download = await downloading;
    assertEquals(download.suggestedFilename(), "line4@1.0.0.tgz");
    const response = await fetch(download.url());
    assertEquals(new Uint8Array(await response.arrayBuffer()), await Deno.readFile(`${folder.path}/line4.tgz`));
    await download.cancel();
    await takeScreenshot(page, "outbox-phone");
    assertEquals(await findBarriers(page), []);
    await page.getByRole("button", { name: "Delete line4 1.0.0" }).click();
    await page.getByRole("button", { name: "Yes, delete it" }).click();
    await page.getByText("Nothing is packed yet.").waitFor();
    assert(![...Deno.readDirSync(`${folder.path}/source/outbox`)].some(({ name }) => name.endsWith(".tgz")));
    assertEquals({ foreign, problems }, { foreign: [], problems: [] });
  },
);
