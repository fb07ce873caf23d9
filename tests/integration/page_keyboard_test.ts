import { createAgentFixture } from "../support/agent_fixture.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { chooseFile, startBrowser } from "../support/browser.ts";
import { peerTest } from "../support/peers.ts";

const MAX_TABS = 40;
const SCREENS = ["overview", "images", "releases", "registries", "doctor", "install"];
// The narrowest phone.
const NARROW = { width: 320, height: 568 };

// The name of the focused element, and whether it is seen to have the focus.
const FOCUSED = `(() => {
  const { innerText, labels, ariaLabel } = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
  return { name: ariaLabel || innerText || labels?.[0]?.innerText || "", isBody: document.activeElement === document.body,
    isSeen: outlineStyle !== "none" && outlineWidth !== "0px" };
})()`;

peerTest("page: a release is installed by the keyboard alone; screens of 320 pixels are not wider than that", [
  "chromium",
], async () => {
  await using fixture = await createAgentFixture();
  const { file } = await fixture.pack("1.0.0", 100_000);
  await using agent = await fixture.startAgent();
  await using browser = await startBrowser();
  const { page, foreign, problems } = await browser.open({ viewport: "desk" });
  const tabTo = async (name: string) => {
    for (let tabs = 0; tabs < MAX_TABS; tabs++) {
      await page.keyboard.press("Tab");
      const focused = await page.evaluate<{ name: string; isSeen: boolean; isBody: boolean }>(FOCUSED);
      assert(focused.isSeen || focused.isBody, `${focused.name} has the focus, and no sign of it`);
      if (focused.name.trim() === name) return;
    }
    throw new Error(`${name} is not reached by the keyboard`);
  };
  await page.goto(`${agent.url}/#/install`);
  await page.getByLabel("Token").waitFor();
  await tabTo("Token");
  await page.keyboard.type((await Deno.readTextFile(fixture.tokenFile)).trim());
  await page.keyboard.press("Enter");
  await page.locator("#bundle").waitFor();
  await tabTo("Bundle");
  await chooseFile(page, "#bundle", file);
  await page.locator(".figures").getByText("first install").waitFor();
  await tabTo("Install");
  await page.keyboard.press("Enter");
  await page.getByText("line4 1.0.0 is installed.").waitFor();
  await tabTo("Releases");
  await page.keyboard.press("Enter");
  // The heading of a new screen has the focus, so that a screen reader says where it is.
  await page.locator("h1:focus", { hasText: "Releases" }).waitFor();
  await tabTo("Remove");
  await page.keyboard.press("Space");
  await page.getByText("What removing line4 does").waitFor();
  await tabTo("Cancel");
  await page.keyboard.press("Enter");
  await page.getByText("What removing line4 does").waitFor({ state: "detached" });

  await page.setViewportSize(NARROW);
  for (const screen of SCREENS) {
    await page.goto(`${agent.url}/#/${screen}`);
    await page.locator("main section").first().waitFor();
    await page.locator("body:not(:has([aria-busy]))").waitFor();
    const width = await page.evaluate<number>("document.documentElement.scrollWidth");
    assert(width <= NARROW.width, `${screen} is ${width} pixels wide`);
  }
  assertEquals({ foreign, problems }, { foreign: [], problems: [] });
  // What the other tests count: a script in the page, and an image of another host, are refused, and that is seen.
  await page.evaluate(`document.body.append(
    Object.assign(document.createElement("script"), { textContent: "globalThis.ran = true" }),
    Object.assign(new Image(), { src: "http://127.0.0.2/x.png" }),
  )`);
  await page.waitForFunction("globalThis.ran === undefined");
  while (problems.length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(problems.filter((text) => text.includes("Content Security Policy")).length, 2, problems.join("\n"));
});
