import { createAgentFixture } from "../support/agent_fixture.ts";
import { assertEquals } from "../support/assert.ts";
import { chooseFile, startBrowser } from "../support/browser.ts";
import { openInstall } from "../support/install_screen.ts";
import { peerTest } from "../support/peers.ts";

peerTest("page: a bundle that the desk has signed is installed, and an unsigned one is refused", [
  "chromium",
], async () => {
  await using fixture = await createAgentFixture();
  assertEquals((await fixture.crpe("keygen", "desk")).code, 0);
  const [unsigned, signed] = [
    await fixture.pack("0.9.0", 100_000),
    await fixture.pack("1.0.0", 100_000, "--sign-key=desk"),
  ];
  await using agent = await fixture.startAgent("--trusted-keys=desk.pub");
  await using browser = await startBrowser();
  const { page } = await openInstall(browser, fixture.tokenFile, agent.url);
  await chooseFile(page, "#bundle", unsigned.file);
  await page.getByText("it is not signed, and must be by key").first().waitFor();
  await page.reload();
  await chooseFile(page, "#bundle", signed.file);
  await page.getByText("Signed by desk.pub").waitFor();
  await page.getByRole("button", { name: "Install", exact: true }).click();
  await page.getByText("line4 1.0.0 is installed.").waitFor();
});
