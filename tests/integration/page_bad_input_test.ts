import { createHash } from "node:crypto";
import { createAgentFixture, IMAGE_REPO } from "../support/agent_fixture.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { chooseFile, startBrowser, takeScreenshot } from "../support/browser.ts";
import { startCountingProxy } from "../support/counting_proxy.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { openInstall } from "../support/install_screen.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { mountSmall } from "../support/mount.ts";
import { peerTest } from "../support/peers.ts";

const LAYER_BYTES = 12_000_000;
const PACE = { pace: 16 * 1024 };

const CHANGES: Record<string, (path: string) => Promise<void>> = {
  "grows": (path) => Deno.writeTextFile(path, "more", { append: true }),
  "is cut": async (path) => await Deno.truncate(path, (await Deno.stat(path)).size - 1000),
  // The browser compares whole seconds.
  "has another time of modification": (path) => Deno.utime(path, 1_000_000_000, 1_000_000_000),
  "is removed": (path) => Deno.remove(path),
};

peerTest(
  "page: a file that changes while it is uploaded is named, and nothing is installed",
  ["chromium"],
  async () => {
    await using fixture = await createAgentFixture();
    const { file, layer } = await fixture.pack("1.0.0", LAYER_BYTES);
    const bytes = await Deno.readFile(file);
    await using agent = await fixture.startAgent();
    await using proxy = startCountingProxy(agent.url, PACE);
    await using browser = await startBrowser();
    const { page, problems } = await openInstall(browser, fixture.tokenFile, proxy.url);
    const before = proxy.bytes;
    const install = page.getByRole("button", { name: "Install", exact: true });
    for (const change of Object.values(CHANGES)) {
      await chooseFile(page, "#bundle", file);
      await install.waitFor();
      const start = proxy.bytes;
      await install.click();
      await proxy.reached(start + 500_000);
      await change(file);
      await page.getByRole("alert").getByText("The file changed or was removed while it was read.").waitFor();
      await page.getByRole("button", { name: "Choose another file" }).click();
      await Deno.writeFile(file, bytes);
    }
    assertEquals((await fixture.crpe("packages", "--data=site")).stdout.includes("1.0.0"), false);
    await chooseFile(page, "#bundle", file);
    await install.click();
    await page.getByText("line4 1.0.0 is installed.").waitFor();
    const sent = proxy.bytes - before;
    assert(sent < 1.25 * layer.size, `${sent} bytes were sent for ${layer.size}`);
    assertEquals(problems, []);
  },
);

peerTest("page: a token that is changed in the middle of an upload is asked for, and the upload resumes", [
  "chromium",
], async () => {
  await using fixture = await createAgentFixture();
  const { file, layer } = await fixture.pack("1.0.0", LAYER_BYTES);
  const { path } = fixture.folder;
  const start = (port = "0") =>
    startCrpe(["agent", `--addr=127.0.0.1:${port}`, "--data=site"], { env: { HOME: path }, cwd: path });
  const first = await start();
  await using proxy = startCountingProxy(first.url, PACE);
  await using browser = await startBrowser();
  const { page, problems } = await openInstall(browser, fixture.tokenFile, proxy.url);
  await chooseFile(page, "#bundle", file);
  const install = page.getByRole("button", { name: "Install", exact: true });
  await install.waitFor();
  const before = proxy.bytes;
  await install.click();
  await proxy.reached(before + 4_000_000);
  await first[Symbol.asyncDispose]();
  await Deno.writeTextFile(fixture.tokenFile, "another-token");
  await using _second = await start(new URL(first.url).port);
  await page.getByText("The token is not valid any more. Sign in again.").waitFor();
  await page.getByLabel("Token").fill("another-token");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("The upload of 1.0.0.tgz was interrupted.").waitFor();
  await chooseFile(page, "#bundle", file);
  await install.click();
  await page.getByText("line4 1.0.0 is installed.").waitFor();
  const sent = proxy.bytes - before;
  assert(sent < 1.25 * layer.size, `${sent} bytes were sent for ${layer.size}`);
  assertEquals(problems, []);
});

peerTest("page: a disk that fills during the upload is named, and the upload resumes when there is room", [
  "chromium",
  "root",
], async () => {
  await using fixture = await createAgentFixture();
  const { file, layer } = await fixture.pack("1.0.0", LAYER_BYTES);
  await using small = await mountSmall(40_000_000);
  const { path } = fixture.folder;
  await using agent = await startCrpe(["agent", "--addr=127.0.0.1:0", `--data=${small.path}`], {
    env: { HOME: path },
    cwd: path,
  });
  await using proxy = startCountingProxy(agent.url, PACE);
  await using browser = await startBrowser();
  const { page, problems } = await openInstall(browser, `${small.path}/kubepkg/.token`, proxy.url);
  await chooseFile(page, "#bundle", file);
  const install = page.getByRole("button", { name: "Install", exact: true });
  await install.waitFor();
  const before = proxy.bytes;
  await install.click();
  await proxy.reached(before + 2_000_000);
  const filler = `${small.path}/filler`;
  await Deno.writeFile(filler, new Uint8Array(60_000_000)).catch(() => {});
  await page.getByRole("alert").getByText(/no space left|are free/).waitFor();
  await takeScreenshot(page, "install-filled-phone");
  await Deno.remove(filler);
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("line4 1.0.0 is installed.").waitFor();
  const sent = proxy.bytes - before;
  assert(sent < 1.25 * layer.size, `${sent} bytes were sent for ${layer.size}`);
  assertEquals(problems, []);
});

peerTest("page: a code that is wrong or has expired is said, and the token still signs in", ["chromium"], async () => {
  await using fixture = await createAgentFixture();
  await using agent = await fixture.startAgent();
  const { stdout } = await fixture.crpe("agent", "--pair", "--data=site", `--addr=${new URL(agent.url).host}`);
  const code = /#t=(\S+)$/m.exec(stdout)![1]!;
  const folder = `${fixture.folder.path}/site/kubepkg/.codes`;
  await Deno.writeTextFile(`${folder}/${createHash("sha256").update(code).digest("hex")}`, `${Date.now() - 1}\n`);
  await using browser = await startBrowser();
  for (const [fragment, text] of [[code, "the code has expired"], ["wrong", "the code is wrong or was used already"]]) {
    const { page, problems } = await browser.open();
    await page.goto(`${agent.url}/#t=${fragment}`);
    await page.getByText(text!).waitFor();
    assertEquals(new URL(page.url()).hash, "");
    await page.getByLabel("Token").fill((await Deno.readTextFile(fixture.tokenFile)).trim());
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("button", { name: "Sign out" }).waitFor();
    assertEquals(problems, []);
  }
});

peerTest(
  "page: a part of another package, or of another pack of the same release, is named",
  ["chromium"],
  async () => {
    await using fixture = await createAgentFixture();
    const { folder: { path } } = fixture;
    const partsOf = (start: string) =>
      [...Deno.readDirSync(path)].map(({ name }) => name)
        .filter((name) => name.startsWith(start) && name.endsWith(".tgz")).sort();
    await fixture.pack("1.0.0", 3_000_000, "--split=2MB");
    const kubepkg = makeKubePkg({ [`${IMAGE_REPO}:1.0.0`]: "" }, { version: "1.0.0" });
    const other = { ...kubepkg, metadata: { ...kubepkg.metadata, name: "line5" } };
    for (const [name, document] of [["other", other], ["again", kubepkg]] as const) {
      await fixture.folder.write(`${name}.json`, JSON.stringify(document));
      const flags = ["-o", `${name}.tgz`, "--data=source", "--offline", "--split=1500kB"];
      const { code, stderr } = await fixture.crpe("pack", `${name}.json`, ...flags);
      assertEquals(code, 0, stderr);
    }
    await using agent = await fixture.startAgent();
    await using browser = await startBrowser();
    const { page, problems } = await openInstall(browser, fixture.tokenFile, agent.url);
    const send = async (file: string) => {
      await chooseFile(page, "#bundle", `${path}/${file}`);
      await page.getByText("it is sent whole").waitFor();
      await page.getByRole("button", { name: "Install", exact: true }).click();
    };
    await send(partsOf("1.0.0")[0]!);
    await page.getByText("Part 1 of 2 of line4 1.0.0 is stored. Missing: 2.").waitFor();
    await page.getByRole("button", { name: "Choose another file" }).click();
    await send(partsOf("other")[1]!);
    await page.getByText(/Part 2 of \d of line5 1\.0\.0 is stored/).waitFor();
    await page.getByRole("button", { name: "Choose another file" }).click();
    await send(partsOf("again")[1]!);
    await page.getByRole("alert").getByText("it is part 2 of 3 of another pack of line4@1.0.0").waitFor();
    assertEquals(await page.getByText("--force").count(), 0);
    await page.getByRole("button", { name: "Install anyway" }).click();
    await page.getByText("Part 2 of 3 of line4 1.0.0 is stored. Missing: 1, 3.").waitFor();
    assertEquals(problems, []);
  },
);

const MARKUP = "<img/src=x/onerror=alert(1)>";

peerTest("page: markup in every field of the desk is text, and 5,000 objects are checked and packed", [
  "chromium",
], async () => {
  await using fixture = await createAgentFixture();
  const { folder: { path }, crpe } = fixture;
  await fixture.pack("1.0.0", 1000);
  const options = { env: { HOME: path }, cwd: path };
  await using registry = await startCrpe(["registry", "--addr=127.0.0.1:0", "--data=source", "--offline"], options);
  await using browser = await startBrowser();
  const { page, problems, foreign } = await browser.open();
  const { stdout } = await crpe("registry", "--pair", "--data=source", `--addr=${new URL(registry.url).host}`);
  await page.goto(/^http:\S+#t=\S+$/m.exec(stdout)![0]);
  const dialogs: string[] = [];
  page.on("dialog", (dialog) => {
    dialogs.push(dialog.message());
    dialog.dismiss();
  });
  await page.goto(`${registry.url}/#/pack`);
  const kubepkg = makeKubePkg({ [`${IMAGE_REPO}:1.0.0`]: "" });
  const field = page.getByLabel("Release", { exact: true });
  const main = page.locator("main");
  const rows = [
    { ...kubepkg, metadata: { ...kubepkg.metadata, name: MARKUP } },
    { ...kubepkg, metadata: { ...kubepkg.metadata, namespace: MARKUP } },
    { ...kubepkg, spec: { ...kubepkg.spec, version: MARKUP } },
    { ...kubepkg, spec: { ...kubepkg.spec, images: { [MARKUP]: "" } } },
    { ...kubepkg, [MARKUP]: MARKUP, apiVersion: MARKUP },
    {
      ...kubepkg,
      spec: {
        ...kubepkg.spec,
        manifests: { [MARKUP]: { apiVersion: "v1", kind: MARKUP, metadata: { name: MARKUP } } },
      },
    },
  ];
  for (const row of rows) {
    await field.fill("");
    await page.getByText("Checking…").waitFor({ state: "detached" });
    await field.fill(JSON.stringify(row));
    // A problem of the release, or a warning about it.
    await main.getByRole("heading", { name: /problem/ }).or(main.locator(".notice")).first().waitFor();
    assertEquals(await page.locator("img").count(), 0);
  }
  await page.goto(`${registry.url}/#/nodes`);
  await page.getByLabel("Address, or the link").fill(MARKUP);
  await page.getByLabel("Token", { exact: true }).fill(MARKUP);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("alert").waitFor();
  assertEquals([await page.locator("img").count(), dialogs], [0, []]);

  const manifests = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [
    `m${i}.default.configmap`,
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: `m${i}`, namespace: "default" }, data: { i: `${i}` } },
  ]));
  const many = { ...kubepkg, spec: { ...kubepkg.spec, version: "5.0.0", manifests } };
  await Deno.writeTextFile(`${path}/many.json`, JSON.stringify(many));
  await page.goto(`${registry.url}/#/pack`);
  await chooseFile(page, "#release-file", `${path}/many.json`);
  await page.getByText("line4 5.0.0").waitFor({ timeout: 60_000 });
  await page.getByText("5000 objects").waitFor();
  const elements = await page.evaluate<number>("document.querySelectorAll('*').length");
  assert(elements < 600, `${elements} elements`);
  await page.getByRole("button", { name: "Pack into the outbox" }).click();
  await page.getByRole("button", { name: "Download line4 5.0.0" }).waitFor({ timeout: 60_000 });
  assertEquals({ problems, foreign }, { problems: [], foreign: [] });
});
