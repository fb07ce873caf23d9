import { createAgentFixture } from "../support/agent_fixture.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { chooseFile, startBrowser, takeScreenshot, type WatchedPage } from "../support/browser.ts";
import { startCountingProxy } from "../support/counting_proxy.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { peerTest } from "../support/peers.ts";

const LAYER_BYTES = 40_000_000;
const CUTS = 10;

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
  const session = await page.context().newCDPSession(page);
  const before = proxy.bytes;
  await page.getByRole("button", { name: "Install", exact: true }).click();
  for (let cut = 1; cut <= CUTS; cut++) {
    await proxy.reached(before + cut * LAYER_BYTES / (CUTS + 2));
    // A phone whose screen is locked stops the page; its connections are gone when it is unlocked.
    const isLocked = cut === CUTS / 2;
    if (isLocked) await session.send("Page.setWebLifecycleState", { state: "frozen" });
    proxy.cut();
    if (isLocked) await session.send("Page.setWebLifecycleState", { state: "active" });
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

const MARKUP = "<img/src=x/onerror=alert(1)>";

peerTest(
  "page: markup in names is text, and a file that is no bundle is named for what it is",
  ["chromium"],
  async () => {
    await using fixture = await createAgentFixture();
    const { file } = await fixture.pack("1.0.0", 100_000);
    const folder = fixture.folder.path;
    const bytes = await Deno.readFile(file);
    await using agent = await fixture.startAgent(`--node-id=${MARKUP}`);
    await using browser = await startBrowser();
    const watched = await browser.open();
    const { page } = watched;
    await page.goto(await pair(fixture, agent.url));
    await page.getByRole("heading", { name: MARKUP, exact: true }).waitFor();
    await page.goto(`${agent.url}/#/install`);
    const damaged = bytes.slice();
    damaged[40] = damaged[40]! ^ 0xff;
    const rows: readonly (readonly [name: string, content: Uint8Array, text: string | RegExp])[] = [
      ["empty.tgz", new Uint8Array(), "The file is empty."],
      ["text.tgz", new TextEncoder().encode("hello ".repeat(200)), "This is not a bundle"],
      ["cut-head.tgz", bytes.subarray(0, 60), "The file is cut short"],
      ["damaged-head.tgz", damaged, "The file is damaged"],
      ["cut.tgz", bytes.subarray(0, bytes.length - 60_000), "The file is cut short"],
    ];
    for (const [name, content, text] of rows) {
      await Deno.writeFile(`${folder}/${name}`, content);
      await chooseFile(page, "#bundle", `${folder}/${name}`);
      const install = page.getByRole("button", { name: "Install", exact: true });
      await install.or(page.getByRole("alert")).first().waitFor();
      if (await install.isVisible()) await install.click();
      await page.getByRole("alert").getByText(text).waitFor();
      await page.getByRole("button", { name: "Choose another file" }).click();
    }
    const name = `${MARKUP.replaceAll("/", " ")}.tgz`;
    await Deno.writeFile(`${folder}/${name}`, bytes);
    await chooseFile(page, "#bundle", `${folder}/${name}`);
    await page.locator("header").getByText(name).waitFor();
    assertEquals(await page.locator("img").count(), 0);
    // The file changes after the plan.
    await page.getByRole("button", { name: "Install", exact: true }).waitFor();
    await Deno.writeFile(`${folder}/${name}`, bytes.subarray(0, 1000));
    await page.getByRole("button", { name: "Install", exact: true }).click();
    await page.getByText("The file changed or was removed while it was read.").waitFor();
    assertClean(watched);
  },
);

peerTest("page: signing in: a used code, a wrong token, a token that was changed meanwhile", ["chromium"], async () => {
  await using fixture = await createAgentFixture();
  const agent = await fixture.startAgent();
  const { port } = new URL(agent.url);
  await using browser = await startBrowser();
  const link = await pair(fixture, agent.url);
  const first = await browser.open();
  await first.page.goto(link);
  await first.page.getByRole("button", { name: "Sign out" }).waitFor();
  const watched = await browser.open();
  const { page } = watched;
  await page.goto(link);
  await page.getByText("the code is wrong or was used already").waitFor();
  await page.getByLabel("Token").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("the token is not the one of this server").waitFor();
  await takeScreenshot(page, "sign-in-phone");
  await page.getByLabel("Token").fill((await Deno.readTextFile(fixture.tokenFile)).trim());
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  await agent[Symbol.asyncDispose]();
  await page.getByText("The server does not answer.").waitFor();
  await Deno.writeTextFile(fixture.tokenFile, "another-token");
  const { path } = fixture.folder;
  await using _again = await startCrpe(["agent", `--addr=127.0.0.1:${port}`, "--data=site"], {
    env: { HOME: path },
    cwd: path,
  });
  await page.getByText("The token is not valid any more.").waitFor();
  await takeScreenshot(page, "token-changed-phone");
  assertClean(watched);
});
