import { assert, assertEquals } from "../support/assert.ts";
import { chooseFile, findBarriers, startBrowser, takeScreenshot } from "../support/browser.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";

const MARKUP = "<img/src=x/onerror=alert(1)>";
const IMAGE = "registry.test/app:1";

peerTest(
  "page: a release is checked as it is typed, packed into the outbox, downloaded, and deleted after a second yes",
  ["chromium"],
  async () => {
    await using fixture = await createPackFixture({ [IMAGE]: buildImage() });
    const { folder, processOptions } = fixture;
    const packed = await fixture.pack(makeKubePkg({ [IMAGE]: "" }), "line4");
    assertEquals(packed.code, 0, packed.stderr);
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
    // What an interrupted pack left is named, and deleted after a second yes.
    const partial = `${folder.path}/source/outbox/.${MARKUP.replaceAll("/", " ")}@1.0.0.tgz.partial`;
    await Deno.mkdir(`${folder.path}/source/outbox`);
    await Deno.writeTextFile(partial, "the start");
    await page.goto(`${registry.url}/#/releases`);
    await page.getByText(`${MARKUP.replaceAll("/", " ")}@1.0.0`).waitFor();
    await page.locator(".pill", { hasText: "interrupted" }).waitFor();
    await takeScreenshot(page, "outbox-interrupted-phone");
    assertEquals([await page.locator("img").count(), await findBarriers(page)], [0, []]);
    await page.getByRole("button", { name: "Delete interrupted" }).click();
    await page.getByRole("button", { name: "Yes, delete it" }).click();
    await page.locator(".pill", { hasText: "interrupted" }).waitFor({ state: "detached" });
    assertEquals(await Deno.stat(partial).catch(() => undefined), undefined);
    await page.getByRole("link", { name: "Pack a release" }).click();
    const release = page.getByLabel("Release", { exact: true });
    await release.fill("kind: KubePkg\nspec: [");
    await page.getByText("Cannot read the release").waitFor();
    await page.getByRole("button", { name: "Show line 3" }).waitFor();
    // Every wrong field is listed; its button goes to its line.
    const { spec, ...wrong } = makeKubePkg({ [IMAGE]: "" }, { name: MARKUP });
    const text = JSON.stringify(
      { ...wrong, kind: MARKUP, spec: { ...spec, version: "one", images: { "a b": "" } } },
      undefined,
      1,
    );
    await release.fill(text);
    await page.getByRole("heading", { name: "4 problems" }).waitFor();
    await page.getByText("must be KubePkg").waitFor();
    await page.getByText("Cannot use repository name").waitFor();
    const line = text.slice(0, text.indexOf('"version"')).split("\n").length;
    await page.getByRole("button", { name: `Show line ${line}, spec.version` }).click();
    const selected =
      "document.activeElement.value.slice(...['selectionStart', 'selectionEnd'].map((at) => document.activeElement[at]))";
    assertEquals((await page.evaluate<string>(selected)).trim(), '"version": "one",');
    assertEquals(await page.locator("img").count(), 0);
    await takeScreenshot(page, "pack-problems-phone");
    assertEquals(await findBarriers(page), []);
    // 5,000 manifests, 4,999 of them wrong: the list is bounded, and a change is checked again.
    const manifests = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`m${i}`, { kind: "ConfigMap" }]));
    manifests.m0 = Object.assign(manifests.m0!, { apiVersion: "v1", metadata: { name: MARKUP } });
    const many = JSON.stringify(
      { ...makeKubePkg({ [IMAGE]: "" }), spec: { version: "1.0.0", manifests } },
      undefined,
      1,
    );
    await folder.write("many.json", many);
    await chooseFile(page, "#release-file", `${folder.path}/many.json`);
    await page.getByRole("heading", { name: "4999 problems" }).waitFor();
    await page.getByText("… and 4899 more").waitFor();
    assertEquals(await page.locator("main .row").count(), 100);
    await release.press("Control+End");
    await release.press("x");
    await page.getByRole("heading", { name: "1 problem", exact: true }).waitFor();
    await release.fill(JSON.stringify(makeKubePkg({ "registry.test/missing:1": "" }, { version: "0.9.0" })));
    await page.getByText("line4 0.9.0").waitFor();
    await page.getByRole("button", { name: "Pack into the outbox" }).click();
    await page.getByRole("alert").getByText("registry.test/missing:1").waitFor();
    await page.getByRole("button", { name: "Dismiss" }).click();
    await page.getByRole("alert").waitFor({ state: "detached" });
    await page.getByRole("link", { name: "Pack a release" }).click();

    await chooseFile(page, "#release-file", `${folder.path}/line4.json`);
    await page.getByText("line4 1.0.0").waitFor();
    await takeScreenshot(page, "pack-phone");
    assertEquals(await findBarriers(page), []);
    await page.getByRole("button", { name: "Pack into the outbox" }).click();
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
