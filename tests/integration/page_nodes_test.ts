import { createAgentFixture } from "../support/agent_fixture.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { findBarriers, startBrowser, takeScreenshot, VIEWPORTS } from "../support/browser.ts";
import { startCountingProxy } from "../support/counting_proxy.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { peerTest } from "../support/peers.ts";

peerTest("page: bundles of the outbox are sent to several agents at once, after their plans; one is rolled back", [
  "chromium",
], async () => {
  await using fixture = await createAgentFixture();
  const { folder, crpe } = fixture;
  const { path } = folder;
  const options = { env: { HOME: path }, cwd: path };
  const { layer } = await fixture.pack("1.0.0", 6_000_000);
  await fixture.pack("1.1.0", 1000);
  for (const version of ["1.0.0", "1.1.0"]) {
    const { code, stderr } = await crpe("pack", `${version}.json`, "--outbox", "--data=source", "--offline");
    assertEquals(code, 0, stderr);
  }
  const pair = async (command: string, data: string, url: string) => {
    const { stdout, stderr } = await crpe(command, "--pair", `--data=${data}`, `--addr=${new URL(url).host}`);
    return /^http:\S+#t=\S+$/m.exec(stdout)?.[0] ?? stderr;
  };
  const first = await fixture.startAgent("--node-id=<img/src=x/onerror=alert(1)>");
  const startSecond = (port = "0") =>
    startCrpe(["agent", `--addr=127.0.0.1:${port}`, "--data=site2", "--node-id=gate-2"], options);
  const second = await startSecond();
  await using proxy = startCountingProxy(second.url);
  await using registry = await startCrpe(["registry", "--addr=127.0.0.1:0", "--data=source", "--offline"], options);
  await using browser = await startBrowser();
  const { page, foreign, problems } = await browser.open();
  await page.goto(await pair("registry", "source", registry.url));
  await page.goto(`${registry.url}/#/nodes`);
  await page.getByText("No agents yet").waitFor();

  // A refused token, an address without an agent, then two agents by their links.
  const add = async (address: string, token = "") => {
    await page.getByLabel("Address, or the link").fill(address);
    await page.getByLabel("Token", { exact: true }).fill(token);
    await page.getByRole("button", { name: "Add", exact: true }).click();
  };
  await add(first.url, "wrong");
  await page.getByText("it does not accept the token").waitFor();
  await add("http://127.0.0.1:1", "token");
  await page.getByText("Cannot add http://127.0.0.1:1").waitFor();
  // By its https address alone: the message has the fingerprint to compare, and one that is another's is refused.
  const [, secure = "", fingerprint = ""] =
    /also on (https:\S+), with the certificate (sha256:\w+)/.exec(second.log()) ?? [];
  await add(secure, "token");
  await page.getByText(`enter ${fingerprint} as its fingerprint, below https`).waitFor();
  await page.locator("summary", { hasText: "https" }).click();
  await page.getByLabel("Fingerprint of its own certificate").fill(fingerprint.replace(/.{4}$/, "0000"));
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByText("another machine may answer in its place").waitFor();
  assertEquals(await findBarriers(page), []);
  await page.getByLabel("Fingerprint of its own certificate").fill("");
  await add(await pair("agent", "site", first.url));
  await page.getByText("<img/src=x/onerror=alert(1)>").waitFor();
  await add((await pair("agent", "site2", second.url)).replace(second.url, proxy.url));
  await page.getByText("gate-2").waitFor();
  const secrets = JSON.parse(await Deno.readTextFile(`${path}/source/kubepkg/.nodes.json`));
  assertEquals(secrets.nodes.length, 2);
  assertEquals((await Deno.stat(`${path}/source/kubepkg/.nodes.json`)).mode! & 0o777, 0o600);
  await takeScreenshot(page, "nodes-phone");

  const idOf = async (version: string) => {
    const { bundles } = await (await fetch(`${registry.url}/api/outbox`)).json();
    return bundles.find(({ packages: [one] }: { packages: { version: string }[] }) => one!.version === version).digest;
  };
  assertEquals(await idOf("1.1.0").then((it) => typeof it), "string");
  for (const [i, node] of ["gate-2", "<img/src=x/onerror=alert(1)>"].entries()) {
    await page.getByRole("button", { name: `Send 1.1.0 of line4 to ${node}` }).click();
    await page.getByRole("button", { name: "Send now" }).nth(i).waitFor();
  }
  await page.locator(".figures").getByText("first install").nth(1).waitFor();
  await takeScreenshot(page, "nodes-plan-phone");
  assertEquals(await findBarriers(page), []);
  const send = page.getByRole("button", { name: "Send now" });
  await send.first().click();
  await send.first().click();
  await page.getByText("line4 1.1.0", { exact: true }).nth(1).waitFor();
  assertEquals(await page.getByText("line4 1.1.0", { exact: true }).count(), 2);

  // The older bundle is the latest one in the outbox after it was packed again: a downgrade, which is refused at first.
  await crpe("outbox", "rm", "line4@1.1.0", "--data=source");
  await page.reload();
  const before = proxy.bytes;
  const downgrade = page.getByRole("button", { name: "Downgrade to 1.0.0 of line4 on gate-2" });
  assertEquals(await downgrade.innerText(), "Downgrade to 1.0.0");
  await downgrade.click();
  await page.getByRole("alert").getByText("1.1.0 is installed, which is higher").waitFor();
  assertEquals(await page.getByText("--force").count(), 0);
  assertEquals(await findBarriers(page), []);
  await takeScreenshot(page, "nodes-downgrade-phone");
  await page.getByRole("button", { name: "Send anyway" }).click();
  await page.locator(".figures").getByText("downgrade").waitFor();
  await page.getByRole("button", { name: "Send anyway" }).click();
  // The page is reloaded, the connection is cut, and the agent is killed and started again while the bundle is sent.
  await proxy.reached(before + 2_000_000);
  proxy.cut();
  await page.reload();
  await proxy.reached(before + 4_000_000);
  const resume = proxy.pause();
  second.kill("SIGKILL");
  await second[Symbol.asyncDispose]();
  await using _again = await startSecond(new URL(second.url).port);
  resume();
  await page.getByText("line4 1.0.0", { exact: true }).waitFor({ timeout: 120_000 });
  const sent = proxy.bytes - before;
  // What the killed agent had not written yet is sent again.
  assert(sent < 1.5 * layer.size, `${sent} bytes were sent for ${layer.size}`);

  await page.getByRole("button", { name: "Roll back to 1.1.0" }).click();
  await page.getByRole("button", { name: "Yes, go back to 1.1.0" }).click();
  await page.getByText("line4 1.1.0", { exact: true }).nth(1).waitFor();
  await page.getByRole("button", { name: "Forget gate-2" }).click();
  await page.getByRole("button", { name: "Yes, forget it" }).click();
  await page.getByText("gate-2").waitFor({ state: "detached" });

  // An agent that is gone, and then has another token: each has a button that helps.
  await first[Symbol.asyncDispose]();
  await page.getByRole("button", { name: `Try again: ${first.url}` }).waitFor();
  await Deno.writeTextFile(fixture.tokenFile, "another-token");
  await using _changed = await startCrpe(["agent", `--addr=${new URL(first.url).host}`, "--data=site"], options);
  await page.getByRole("button", { name: `Give its new token: ${first.url}` }).click();
  assertEquals(await page.getByLabel("Address, or the link").inputValue(), first.url);
  await page.locator("#node-token:focus").fill("another-token");
  assertEquals(await findBarriers(page), []);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.locator(".pill", { hasText: "ready" }).waitFor();

  // An agent elsewhere without a certificate, as the server answers: a button allows it once.
  const bodies: { insecure: boolean }[] = [];
  await page.route("**/api/nodes", async (route) => {
    if (route.request().method() !== "POST") return await route.fallback();
    bodies.push(route.request().postDataJSON());
    const detail = { overrule: { flag: "insecure-http", advice: "--insecure-http allows it" } };
    await route.fulfill({
      status: 409,
      json: { errors: [{ code: "CONFLICT", message: "it is unencrypted", detail }] },
    });
  });
  await add("http://gate-9.test", "token");
  await page.getByRole("button", { name: "Add it all the same: send the token unencrypted" }).click();
  while (bodies.length < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(bodies.map(({ insecure }) => insecure), [false, true]);
  assertEquals(await page.getByText("--insecure-http").count(), 0);
  await page.unrouteAll();
  const width = await page.evaluate<number>("document.documentElement.scrollWidth");
  assert(width <= VIEWPORTS.phone.width, `the page is ${width} pixels wide`);
  assertEquals({ foreign, problems }, { foreign: [], problems: [] });
});
