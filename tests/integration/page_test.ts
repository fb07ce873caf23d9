import { createAgentFixture } from "../support/agent_fixture.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { chooseFile, startBrowser, takeScreenshot, VIEWPORTS, type WatchedPage } from "../support/browser.ts";
import { startCountingProxy } from "../support/counting_proxy.ts";
import type { CrpeProcess } from "../support/crpe_process.ts";
import { peerTest } from "../support/peers.ts";

const LAYER_BYTES = 40_000_000;
const CUTS = 10;
const SCREENS = ["overview", "images", "releases", "registries", "doctor", "install"] as const;

/** Makes a one-time code as a person does, and returns the address that the QR code has. */
async function pair(fixture: Awaited<ReturnType<typeof createAgentFixture>>, url: string): Promise<string> {
  const { code, stdout, stderr } = await fixture.crpe("agent", "--pair", "--data=site", `--addr=${new URL(url).host}`);
  assertEquals(code, 0, stderr);
  return /^http:\S+#t=\S+$/m.exec(stdout)![0];
}

function assertClean({ foreign, problems }: WatchedPage): void {
  assertEquals({ foreign, problems }, { foreign: [], problems: [] });
}

peerTest("page: a bundle is installed from the browser, and its upload survives ten cuts", ["chromium"], async () => {
  await using fixture = await createAgentFixture();
  const { file, layer } = await fixture.pack("1.1.0", LAYER_BYTES);
  await using agent = await fixture.startAgent();
  await using proxy = startCountingProxy(agent.url);
  await using browser = await startBrowser();
  const watched = await browser.open({ viewport: "phone" });
  const { page } = watched;
  await page.goto(await pair(fixture, proxy.url));
  assertEquals(new URL(page.url()).hash, "", "the code leaves the address");
  await page.getByRole("link", { name: "Install from a file" }).click();
  await chooseFile(page, "#bundle", file);
  await page.locator(".figures").getByText("first install").waitFor();
  await takeScreenshot(page, "install-plan-phone");
  assertEquals(await page.locator(".diff .add").allInnerTexts(), ["+ ConfigMap/default/web"]);
  const before = proxy.bytes;
  await page.getByRole("button", { name: "Install", exact: true }).click();
  for (let cut = 1; cut <= CUTS; cut++) {
    await proxy.reached(before + cut * LAYER_BYTES / (CUTS + 2));
    proxy.cut();
  }
  await takeScreenshot(page, "install-progress-phone");
  await page.getByText("line4 1.1.0 is installed.").waitFor({ timeout: 120_000 });
  await takeScreenshot(page, "install-done-phone");
  const sent = proxy.bytes - before;
  assert(sent < 1.05 * layer.size, `${sent} bytes were sent for ${layer.size}`);
  assertEquals(
    await Deno.readTextFile(`${fixture.folder.path}/manifests/line4.yaml`).then((text) => text.includes("1.1.0")),
    true,
  );
  assertClean(watched);
});

peerTest("page: every screen, on a phone and on a desk", ["chromium"], async () => {
  await using fixture = await createAgentFixture();
  const first = await fixture.pack("1.0.0", 1000);
  const second = await fixture.pack("1.1.0", 2000);
  await using agent: CrpeProcess = await fixture.startAgent();
  for (const { file } of [first, second]) {
    const { code, stderr } = await fixture.push(file, agent.url).finished;
    assertEquals(code, 0, stderr);
  }
  await using browser = await startBrowser();
  for (const viewport of ["phone", "desk"] as const) {
    for (const isDark of [false, true]) {
      const watched = await browser.open({ viewport, isDark });
      const { page } = watched;
      await page.goto(await pair(fixture, agent.url));
      for (const screen of SCREENS) {
        await page.goto(`${agent.url}/#/${screen}`);
        await page.locator("main section").first().waitFor();
        await page.locator("[aria-busy]").waitFor({ state: "detached" });
        await takeScreenshot(page, `${screen}-${viewport}${isDark ? "-dark" : ""}`);
        const width = await page.evaluate<number>("document.documentElement.scrollWidth");
        assert(width <= VIEWPORTS[viewport].width, `${screen} is ${width} pixels wide`);
      }
      assertClean(watched);
    }
  }
});
