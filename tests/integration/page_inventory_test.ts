import { assert, assertEquals } from "../support/assert.ts";
import { createAgentFixture, IMAGE_REPO } from "../support/agent_fixture.ts";
import { chooseFile, findBarriers, startBrowser, takeScreenshot, VIEWPORTS } from "../support/browser.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { peerTest } from "../support/peers.ts";

peerTest(
  "page: the inventory and the receipt of a site are downloaded and shown as QR codes, and the next pack leaves out what it has",
  ["chromium"],
  async () => {
    await using fixture = await createAgentFixture();
    const { folder } = fixture;
    const options = { env: { HOME: folder.path }, cwd: folder.path };
    const { file } = await fixture.pack("1.0.0", 400_000);
    await fixture.pack("1.1.0", 1000);
    // The next release needs the image that the site has, and another one.
    const images = { [`${IMAGE_REPO}:1.0.0`]: "", [`${IMAGE_REPO}:1.1.0`]: "" };
    await folder.write("next.json", JSON.stringify(makeKubePkg(images, { version: "1.2.0" })));
    await using agent = await fixture.startAgent("--node-id=<img/src=x/onerror=alert(1)>");
    const pushed = await fixture.push(file, agent.url).finished;
    assertEquals(pushed.code, 0, pushed.stderr);
    const pair = async (name: string, url: string) => {
      const data = name === "agent" ? "site" : "source";
      const { stdout } = await runCrpe([name, "--pair", `--data=${data}`, `--addr=${new URL(url).host}`], options);
      return /^http:\S+#t=\S+$/m.exec(stdout)![0];
    };
    await using browser = await startBrowser();
    const { page, foreign, problems } = await browser.open();
    const download = async (click: () => Promise<void>, to: string) => {
      const waiting = page.waitForEvent("download");
      await click();
      const saved = await waiting;
      const response = await fetch(saved.url());
      await Deno.writeFile(`${folder.path}/${to}`, new Uint8Array(await response.arrayBuffer()));
      await saved.cancel();
      return saved.suggestedFilename();
    };
    await page.goto(await pair("agent", agent.url));
    const name = await download(() => page.getByRole("link", { name: "Download" }).click(), "have.json");
    assert(/^inventory-_img_src_x_onerror_alert_1_-20\d\d-\d\d-\d\d\.json$/.test(name), name);
    const inventory = await (await fetch(`${agent.url}/inventory`)).text();
    assertEquals(await Deno.readTextFile(`${folder.path}/have.json`), inventory);
    await page.getByRole("button", { name: "QR code of the inventory" }).click();
    await page.getByRole("img", { name: "QR code of the inventory" }).waitFor();
    await takeScreenshot(page, "inventory-code-phone");
    await page.getByText("As text").click();
    const code = await page.locator(".break").innerText();
    const { count, packages } = JSON.parse(code);
    assertEquals([count, packages], [JSON.parse(inventory).digests.length, ["line4@1.0.0"]]);
    const width = await page.evaluate<number>("document.documentElement.scrollWidth");
    assert(width <= VIEWPORTS.phone.width, `the page is ${width} pixels wide`);
    assertEquals(await findBarriers(page), []);

    await page.goto(`${agent.url}/#/releases`);
    await page.getByText("Receipt").click();
    const link = page.getByRole("link", { name: "Download the receipt of line4" });
    assertEquals(await download(() => link.click(), "receipt.json"), "receipt-line4-1.0.0.json");
    const receipt = JSON.parse(await Deno.readTextFile(`${folder.path}/receipt.json`));
    const printed = await runCrpe(["packages", "receipt", "line4", "--data=site"], options);
    assertEquals(receipt, JSON.parse(printed.stdout));
    assertEquals([receipt.version, receipt.key], ["1.0.0", null]);
    await page.getByRole("button", { name: "QR code of the receipt of line4" }).click();
    await page.getByRole("img", { name: "QR code of the receipt of line4" }).waitFor();
    await page.getByText(`Signed by key ${receipt.signature.split(" ")[0]}`, { exact: true }).waitFor();
    assertEquals(await findBarriers(page), []);

    // The desk takes the file, and the text of the QR code too.
    await using desk = await startCrpe(["registry", "--addr=127.0.0.1:0", "--data=source", "--offline"], options);
    await page.goto(await pair("registry", desk.url));
    await page.goto(`${desk.url}/#/pack`);
    await chooseFile(page, "#release-file", `${folder.path}/next.json`);
    await page.getByText("line4 1.2.0").waitFor();
    await Deno.writeTextFile(`${folder.path}/notes.json`, "<html>");
    await chooseFile(page, "#have-file", `${folder.path}/notes.json`);
    await page.getByRole("alert").getByText("the inventory").waitFor();
    await Deno.writeTextFile(`${folder.path}/inventory-gate 2.txt`, code);
    await chooseFile(page, "#have-file", `${folder.path}/inventory-gate 2.txt`);
    const chosen = page.getByLabel("Leave out what a site has");
    await page.locator("#have option:checked", { hasText: "gate-2" }).waitFor({ state: "attached" });
    await Deno.copyFile(`${folder.path}/have.json`, `${folder.path}/inventory-bay.json`);
    await chooseFile(page, "#have-file", `${folder.path}/inventory-bay.json`);
    await page.locator("#have option:checked", { hasText: "bay" }).waitFor({ state: "attached" });
    await page.getByText("2 inventories").click();
    await takeScreenshot(page, "pack-have-phone");
    assertEquals(await findBarriers(page), []);
    const sizes: number[] = [];
    for (const site of ["bay", "gate-2"]) {
      await chosen.selectOption(site);
      await page.getByRole("button", { name: "Pack into the outbox" }).click();
      const button = page.getByRole("button", { name: "Download line4 1.2.0" });
      await button.waitFor();
      const [bundle] = (await (await fetch(`${desk.url}/api/outbox`)).json()).bundles;
      sizes.push(bundle.size);
      const packed = await runCrpe(
        [
          "pack",
          "next.json",
          "-o",
          `${site}.tgz`,
          "--data=source",
          "--offline",
          `--have=source/inventories/${site}.json`,
        ],
        options,
      );
      assertEquals(packed.code, 0, packed.stderr);
      assertEquals((await Deno.stat(`${folder.path}/${site}.tgz`)).size, bundle.size);
      const imported = await runCrpe(["import", `${site}.tgz`, "--data=site", "--dry-run", "--json"], options);
      assertEquals([imported.code, JSON.parse(imported.stdout)[0].verdict], [0, "upgrade"], imported.stderr);
      await page.getByRole("button", { name: "Delete line4 1.2.0" }).click();
      await page.getByRole("button", { name: "Yes, delete it" }).click();
      await page.getByText("Nothing is packed yet.").waitFor();
      await page.getByRole("link", { name: "Pack a release" }).click();
      await chooseFile(page, "#release-file", `${folder.path}/next.json`);
      await page.getByText("line4 1.2.0").waitFor();
    }
    assertEquals(sizes[0], sizes[1]);
    assert(sizes[0]! < 100_000, `${sizes[0]} bytes, although the site has the image with 400,000`);
    await page.getByText("2 inventories").click();
    await page.getByRole("button", { name: "Delete the inventory bay" }).click();
    await page.getByText("1 inventory").waitFor();
    assertEquals([...Deno.readDirSync(`${folder.path}/source/inventories`)].map(({ name }) => name), ["gate-2.json"]);
    assertEquals({ foreign, problems }, { foreign: [], problems: [] });
  },
);
