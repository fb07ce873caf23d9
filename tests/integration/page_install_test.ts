import { createAgentFixture, IMAGE_REPO } from "../support/agent_fixture.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { chooseFile, startBrowser, takeScreenshot } from "../support/browser.ts";
import { packDeltaBundle } from "../support/delta_bundle.ts";
import { DELTA_REPO } from "../support/delta_fixture.ts";
import { startCountingProxy } from "../support/counting_proxy.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { openInstall } from "../support/install_screen.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { mountSmall } from "../support/mount.ts";
import { peerTest } from "../support/peers.ts";
import { writeImage } from "../support/put_image.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";

peerTest(
  "page: an agent that restarts in the middle, and a page that is reloaded, lose nothing",
  ["chromium"],
  async () => {
    await using fixture = await createAgentFixture();
    const { file, layer } = await fixture.pack("1.0.0", 16_000_000);
    const { path } = fixture.folder;
    const start = (port = "0") =>
      startCrpe(["agent", `--addr=127.0.0.1:${port}`, "--data=site"], { env: { HOME: path }, cwd: path });
    const first = await start();
    await using proxy = startCountingProxy(first.url);
    await using browser = await startBrowser();
    const { page } = await openInstall(browser, fixture.tokenFile, proxy.url);
    await chooseFile(page, "#bundle", file);
    const before = proxy.bytes;
    const install = page.getByRole("button", { name: "Install", exact: true });
    await install.click();
    await proxy.reached(before + 4_000_000);
    first.kill("SIGKILL");
    await first[Symbol.asyncDispose]();
    await page.getByText("The connection was lost. Retrying…").waitFor();
    await takeScreenshot(page, "install-lost-phone");
    await using _second = await start(new URL(first.url).port);
    await proxy.reached(before + 8_000_000);
    await page.reload();
    await page.getByText("The upload of 1.0.0.tgz was interrupted.").waitFor();
    await chooseFile(page, "#bundle", file);
    await install.click();
    await page.getByText("line4 1.0.0 is installed.").waitFor();
    // What the killed agent had not written yet is sent again.
    const sent = proxy.bytes - before;
    assert(sent < 1.25 * layer.size, `${sent} bytes were sent for ${layer.size}`);
  },
);

peerTest(
  "page: two people install the same release at once, and then one with a layer as a delta",
  ["chromium"],
  async () => {
    await using fixture = await createAgentFixture();
    const { file } = await fixture.pack("1.0.0", 8_000_000);
    await using agent = await fixture.startAgent();
    await using browser = await startBrowser();
    const pages = [];
    for (let i = 0; i < 2; i++) {
      const { page } = await openInstall(browser, fixture.tokenFile, agent.url);
      await chooseFile(page, "#bundle", file);
      await page.getByRole("button", { name: "Install", exact: true }).waitFor();
      pages.push(page);
    }
    await Promise.all(pages.map((page) => page.getByRole("button", { name: "Install", exact: true }).click()));
    await Promise.all(
      pages.map((page) =>
        page.getByText("line4 1.0.0 is installed.").or(page.getByText("This release is installed already")).waitFor()
      ),
    );
    // The site has the image of an earlier release, from which its layer is rebuilt.
    const delta = await packDeltaBundle();
    const store = new DiskStore(`${fixture.folder.path}/site`);
    await writeImage(store, `${DELTA_REPO}:1`, delta.old);
    const { page } = await openInstall(browser, fixture.tokenFile, agent.url);
    await chooseFile(page, "#bundle", await fixture.folder.write("2.0.0.tgz", delta.bytes));
    await page.getByRole("button", { name: "Install", exact: true }).click();
    await page.getByText("line4 2.0.0 is installed.").waitFor();
    const { deltas = [], digests = [] } = delta.bundle.kubepkg.status!;
    const layers = digests.filter(({ digest }) => deltas.some((it) => it.digest === digest));
    assertEquals(layers.length, 1);
    for (const { digest, size } of layers) assertEquals(await store.statBlob(DELTA_REPO, digest), size);
  },
);

peerTest("page: a downgrade needs a second yes; a rollback and a removal say what they did", ["chromium"], async () => {
  await using fixture = await createAgentFixture();
  const [old, newer] = [await fixture.pack("1.0.0", 1000), await fixture.pack("1.1.0", 2000)];
  await using agent = await fixture.startAgent();
  assertEquals((await fixture.push(newer.file, agent.url).finished).code, 0);
  await using browser = await startBrowser();
  const { page } = await openInstall(browser, fixture.tokenFile, agent.url);
  await chooseFile(page, "#bundle", old.file);
  await page.getByRole("alert").getByText("1.1.0 is installed, which is higher").waitFor();
  await takeScreenshot(page, "install-downgrade-phone");
  await page.getByRole("button", { name: "Install anyway" }).click();
  await page.locator(".figures").getByText("downgrade").waitFor();
  await page.getByRole("button", { name: "Install anyway" }).click();
  await page.getByText("line4 1.0.0 is installed.").waitFor();
  await page.getByRole("link", { name: "Releases" }).last().click();
  await page.getByRole("button", { name: "Roll back to 1.1.0" }).click();
  await page.getByRole("button", { name: "Yes, go back to 1.1.0" }).click();
  await page.getByText("Rolled back to 1.1.0.").waitFor();
  await page.getByRole("button", { name: "Remove" }).click();
  await page.getByText("− ConfigMap/default/web").waitFor();
  await takeScreenshot(page, "remove-phone");
  await page.getByRole("button", { name: "Yes, remove it" }).click();
  await page.getByText("the cluster has not confirmed it yet").waitFor();
});

peerTest("page: parts of a split bundle are sent whole, in any order", ["chromium"], async () => {
  await using fixture = await createAgentFixture();
  await fixture.pack("1.0.0", 3_000_000, "--split=2MB");
  await using agent = await fixture.startAgent();
  await using browser = await startBrowser();
  const { page } = await openInstall(browser, fixture.tokenFile, agent.url);
  const parts = [...Deno.readDirSync(fixture.folder.path)].map(({ name }) => name)
    .filter((name) => name.endsWith(".tgz")).sort().reverse();
  assertEquals(parts.length, 2);
  for (const [i, name] of parts.entries()) {
    await chooseFile(page, "#bundle", `${fixture.folder.path}/${name}`);
    await page.getByText("it is sent whole").waitFor();
    await page.getByRole("button", { name: "Install", exact: true }).click();
    await page.getByText(i === 0 ? "Part 2 of 2 of line4 1.0.0 is stored. Missing: 1." : "line4 1.0.0 is installed.")
      .waitFor();
    if (i === 0) await page.getByRole("button", { name: "Choose another file" }).click();
  }
});

peerTest("page: 500 images and a release of 5,000 objects stay small in the document", ["chromium"], async () => {
  await using fixture = await createAgentFixture();
  const folder = fixture.folder.path;
  const image = buildImage({ files: { "a.txt": "a" } });
  const store = new DiskStore(`${folder}/site`);
  for (let i = 0; i < 500; i++) await writeImage(store, `registry.test/many:${i}`, image);
  await writeImage(new DiskStore(`${folder}/source`), `${IMAGE_REPO}:1`, image);
  const kubepkg = makeKubePkg({ [`${IMAGE_REPO}:1`]: "" });
  const manifests = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [
    `m${i}.default.configmap`,
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: `m${i}`, namespace: "default" }, data: { i: `${i}` } },
  ]));
  await fixture.folder.write("many.json", JSON.stringify({ ...kubepkg, spec: { ...kubepkg.spec, manifests } }));
  const packed = await fixture.crpe("pack", "many.json", "-o", "many.tgz", "--data=source", "--offline");
  assertEquals(packed.code, 0, packed.stderr);
  await using agent = await fixture.startAgent();
  await using browser = await startBrowser();
  const { page } = await openInstall(browser, fixture.tokenFile, agent.url);
  const countElements = () => page.evaluate<number>("document.querySelectorAll('*').length");
  await chooseFile(page, "#bundle", `${folder}/many.tgz`);
  await page.getByText("… 4800").waitFor();
  assert(await countElements() < 600, `${await countElements()} elements`);
  await page.getByRole("button", { name: "Install", exact: true }).click();
  await page.getByText("line4 1.0.0 is installed.").waitFor({ timeout: 60_000 });
  await page.goto(`${agent.url}/#/images`);
  await page.getByRole("button", { name: "Show 50 more" }).waitFor();
  assert(await countElements() < 600, `${await countElements()} elements`);
  await page.getByLabel("Search images").fill("many:499");
  await page.getByText("registry.test/many:499").waitFor();
  assertEquals(await page.locator("main .row").count(), 1);
});

peerTest("page: a full disk is said before anything is sent", ["chromium", "root"], async () => {
  await using fixture = await createAgentFixture();
  const { file } = await fixture.pack("1.0.0", 6_000_000);
  await using small = await mountSmall(4_000_000);
  const { path } = fixture.folder;
  await using agent = await startCrpe(["agent", "--addr=127.0.0.1:0", `--data=${small.path}`], {
    env: { HOME: path },
    cwd: path,
  });
  await using browser = await startBrowser();
  const { page } = await openInstall(browser, `${small.path}/kubepkg/.token`, agent.url);
  await chooseFile(page, "#bundle", file);
  await page.getByRole("alert").getByText(/are free|missing/).waitFor();
  await takeScreenshot(page, "install-full-phone");
});
