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

for (
  const [name, flags, config, onlySigned] of [
    ["--trusted-keys", ["--trusted-keys=desk.pub"], undefined, true],
    ["--trust-on-first-use", ["--trust-on-first-use"], undefined, true],
    ["trusted-keys in its configuration", ["--config=agent.yaml"], "trusted-keys:\n  - keys: [desk.pub]\n", true],
    ["no trusted keys", [], undefined, false],
  ] as const
) {
  Deno.test(`page: an agent with ${name} ${onlySigned ? "neither pulls nor changes" : "pulls and changes"} registries`, async () => {
    await using fixture = await createAgentFixture();
    assertEquals((await fixture.crpe("keygen", "desk")).code, 0);
    if (config !== undefined) await Deno.writeTextFile(`${fixture.folder.path}/agent.yaml`, config);
    await using agent = await fixture.startAgent(...flags);
    const authorization = `Bearer ${(await Deno.readTextFile(fixture.tokenFile)).trim()}`;
    const send = async (method: string, path: string, body?: string) => {
      const response = await fetch(`${agent.url}${path}`, { method, headers: { authorization }, body: body ?? null });
      return { status: response.status, text: await response.text() };
    };
    const answers = [
      await send("PUT", "/api/registries/registry.example", '{"url":"http://127.0.0.1:1"}'),
      await send("POST", "/api/images?image=registry.example/line4/app:1"),
      await send("DELETE", "/api/registries/registry.example"),
    ];
    assertEquals(answers.map(({ status }) => status), onlySigned ? [403, 403, 403] : [200, 202, 200]);
    for (const { text } of answers) assertEquals(text.includes("accepts only signed packages"), onlySigned);
    assertEquals(JSON.parse((await send("GET", "/api/access")).text).onlySigned, onlySigned);
    const { registries } = JSON.parse((await send("GET", "/api/registries")).text);
    assertEquals(registries.filter(({ isEditable }: { isEditable: boolean }) => isEditable), []);
  });
}
