import { createAgentFixture } from "../support/agent_fixture.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { startBrowser } from "../support/browser.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const HTML = { accept: "text/html" };

Deno.test("--qr prints a link whose code signs in once; --no-page serves no page, and prints none", async () => {
  await using folder = await TestFolder.create();
  const start = (command: string, ...flags: string[]) =>
    startCrpe([command, "--addr=127.0.0.1:0", `--data=${folder.path}/${command}`, ...flags], {
      env: { HOME: folder.path },
    });
  for (const command of ["agent", "registry"]) {
    await using server = await start(command, "--qr");
    // The server does not wait for the code.
    let link: RegExpExecArray | null = null;
    while (link === null) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      link = /^http:\S+\/#t=([^\s&]+)(?:&\S+)?$/m.exec(server.log());
    }
    assert(/[█▀▄]{10}/.test(server.log()), "the code is drawn");
    const redeem = () =>
      fetch(`${server.url}/api/session`, { method: "POST", body: JSON.stringify({ code: link![1] }) });
    const { token } = await (await redeem()).json();
    assertEquals(token, (await Deno.readTextFile(`${folder.path}/${command}/kubepkg/.token`)).trim());
    const again = await redeem();
    assertEquals([again.status, (await again.json()).errors[0].code], [401, "UNAUTHORIZED"]);
    const page = await fetch(server.url, { headers: HTML });
    assertEquals([page.status, (await page.text()).includes("<!doctype html>")], [200, true]);
  }
  for (const command of ["agent", "registry"]) {
    await using server = await start(command, "--qr", "--no-page");
    for (const path of ["/", "/api/access", "/page/main.js"]) {
      const response = await fetch(`${server.url}${path}`, { headers: HTML });
      assertEquals(
        [response.ok, (await response.text()).includes("<html")],
        [path === "/", false],
        `${command} ${path}`,
      );
    }
    assert(!server.log().includes("#t="), server.log());
  }
});

peerTest("page: a page of another origin reads nothing from it, and changes nothing", ["chromium"], async () => {
  await using fixture = await createAgentFixture();
  const { file } = await fixture.pack("1.0.0", 1000);
  await using agent = await fixture.startAgent();
  assertEquals((await fixture.push(file, agent.url).finished).code, 0);
  const token = (await Deno.readTextFile(fixture.tokenFile)).trim();
  await using other = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("<p>another page", { headers: { "content-type": "text/html" } }),
  );
  await using browser = await startBrowser();
  const { page, problems } = await browser.open();
  await page.goto(`http://127.0.0.1:${other.addr.port}/`);
  const requests = [
    ["GET", "/api/status", "cors"],
    ["GET", "/api/status", "no-cors"],
    ["POST", "/api/codes", "no-cors"],
    ["DELETE", "/api/packages/line4", "cors"],
    ["POST", "/api/packages/line4/rollback", "no-cors"],
  ];
  const answers = await page.evaluate<string[]>(`Promise.all(${JSON.stringify(requests)}.map(([method, path, mode]) =>
    fetch(${JSON.stringify(agent.url)} + path, {
      method,
      mode,
      headers: mode === "cors" ? { authorization: "Bearer ${token}" } : {},
    }).then(({ type }) => type, () => "refused")))`);
  assertEquals(answers, ["refused", "opaque", "opaque", "refused", "opaque"]);
  // What the browser hides from the page is a refusal too. The log is a little later.
  const listRefused = () => agent.log().match(/ (?:GET|POST) \/api\/\S+ 403 /g) ?? [];
  while (listRefused().length < 3) await new Promise((resolve) => setTimeout(resolve, 20));
  // Nor is it shown in a frame, where a user could be made to press its buttons.
  await page.evaluate(`document.body.append(
    Object.assign(document.createElement("iframe"), { src: ${JSON.stringify(agent.url)} }),
  )`);
  while (!problems.some((text) => text.includes("frame-ancestors 'none'"))) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assertEquals((await fixture.crpe("packages", "--data=site")).stdout.includes("1.0.0"), true);
});
