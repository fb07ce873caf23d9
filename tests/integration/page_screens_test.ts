import { createRegistryHandler } from "../../lib/registry/handler.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { createAgentFixture, IMAGE_REPO } from "../support/agent_fixture.ts";
import { assertEquals } from "../support/assert.ts";
import { chooseFile, startBrowser } from "../support/browser.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { peerTest } from "../support/peers.ts";
import { FORMS, openCamera } from "../support/screen_camera.ts";

const readToken = async (data: string) => (await Deno.readTextFile(`${data}/kubepkg/.token`)).trim();

peerTest("page: every screen of an agent, on a phone and on a desk, light and dark", ["chromium"], async () => {
  await using fixture = await createAgentFixture();
  const { path } = fixture.folder;
  await using agent = await fixture.startAgent("--node-id=gate-1");
  for (const version of ["1.0.0", "1.1.0"]) {
    const { file } = await fixture.pack(version, 300_000);
    const { code, stderr } = await fixture.push(file, agent.url).finished;
    assertEquals(code, 0, stderr);
  }
  const token = await readToken(`${path}/site`);
  await Deno.writeTextFile(`${path}/notes.tgz`, "hello ".repeat(200));
  await using browser = await startBrowser();
  for (const [i, form] of FORMS.entries()) {
    const { page, watched, show, take } = await openCamera(browser, form, { url: agent.url, token });
    for (const screen of ["overview", "images", "releases", "registries", "doctor", "install"]) {
      await show(screen);
      await take(`agent-${screen}`);
    }
    await show("overview");
    await page.getByRole("button", { name: "QR code of the inventory" }).click();
    await page.getByRole("img", { name: "QR code of the inventory" }).waitFor();
    await take("agent-inventory-code");
    await show("releases");
    await page.locator("summary", { hasText: "Receipt" }).click();
    await page.getByRole("button", { name: "QR code of the receipt of line4" }).click();
    await page.getByRole("img", { name: "QR code of the receipt of line4" }).waitFor();
    await take("agent-receipt-code");
    await show("install");
    await chooseFile(page, "#bundle", `${path}/notes.tgz`);
    await page.getByRole("alert").waitFor();
    await take("install-no-bundle");
    await page.getByRole("button", { name: "Choose another file" }).click();

    const { file } = await fixture.pack(`1.${i + 2}.0`, 2_000_000 + i);
    await chooseFile(page, "#bundle", file);
    await page.locator(".figures").getByText("upgrade").waitFor();
    await take("install-plan");
    // The uploads wait for the picture, then one of them fails.
    const gate = Promise.withResolvers<void>();
    await page.route("**/kubepkgs/blobs/*", async (route) => {
      if (route.request().method() === "PUT") await gate.promise;
      await route.fallback();
    });
    await page.getByRole("button", { name: "Install", exact: true }).click();
    await page.getByText("Uploading").waitFor();
    await take("install-progress");
    await page.route("**/kubepkgs/**", (route) => route.abort());
    gate.resolve();
    await page.getByText("The connection was lost. Retrying…").waitFor();
    await take("install-lost");
    await page.unrouteAll();
    await page.getByText(`line4 1.${i + 2}.0 is installed.`).waitFor();
    await take("install-done");

    await show("releases");
    await page.getByRole("button", { name: "Remove" }).click();
    await page.getByText("What removing line4 does").waitFor();
    await take("agent-remove");
    await page.route("**/api/*", (route) => route.abort());
    await show("images");
    await page.getByRole("button", { name: "Try again" }).waitFor();
    await take("agent-offline");
    await page.unrouteAll();
    assertEquals([watched.foreign, watched.problems], [[], []]);
    await page.context().close();
  }
});

peerTest("page: every screen of a registry, on a phone and on a desk, light and dark", ["chromium"], async () => {
  await using fixture = await createAgentFixture();
  const { folder: { path }, crpe } = fixture;
  const options = { env: { HOME: path }, cwd: path };
  for (const version of ["1.0.0", "1.1.0"]) {
    await fixture.pack(version, version === "1.1.0" ? 9_000_000 : 300_000);
    const { code, stderr } = await crpe("pack", `${version}.json`, "--outbox", "--data=source", "--offline");
    assertEquals(code, 0, stderr);
  }
  const store = new DiskStore(`${path}/source`);
  await using upstream = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, createRegistryHandler(store));
  await using agent = await fixture.startAgent("--node-id=gate-1");
  const { code, stderr } = await fixture.push(`${path}/1.0.0.tgz`, agent.url).finished;
  assertEquals(code, 0, stderr);
  await using registry = await startCrpe([
    "registry",
    "--addr=127.0.0.1:0",
    "--data=source",
    `--upstream=registry.test=http://127.0.0.1:${upstream.addr.port}`,
    "--upstream=quay.test=http://127.0.0.1:1",
  ], options);
  await Deno.writeTextFile(`${path}/source/outbox/.line4@1.2.0.tgz.partial`, "the start of a bundle");
  for (const name of [IMAGE_REPO, "quay.test/none"]) {
    await (await fetch(`${registry.url}/v2/${name}/manifests/1.0.0`)).body?.cancel();
  }
  await (await fetch(`${registry.url}/api/access`)).body?.cancel();
  const token = await readToken(`${path}/source`);
  const addNode = async (url: string, data: string) => {
    const body = JSON.stringify({ address: url, token: await readToken(`${path}/${data}`) });
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`${registry.url}/api/nodes`, { method: "POST", headers, body });
    assertEquals(response.status, 201, await response.text());
  };
  await addNode(agent.url, "site");
  {
    await using gone = await startCrpe(["agent", "--addr=127.0.0.1:0", "--data=gone", "--node-id=gate-2"], options);
    await addNode(gone.url, "gone");
  }
  const release = JSON.stringify(makeKubePkg({ [`${IMAGE_REPO}:1.1.0`]: "" }, { version: "1.2.0" }), undefined, 2);
  await using browser = await startBrowser();
  for (const form of FORMS) {
    const { page, watched, show, take } = await openCamera(browser, form, { url: registry.url, token });
    for (const screen of ["overview", "images", "releases", "registries", "doctor"]) {
      await show(screen);
      await take(`registry-${screen}`);
    }
    await show("pack");
    await take("pack-empty");
    const field = page.getByLabel("Release", { exact: true });
    await field.fill(release.replace("1.2.0", "one"));
    await page.getByText(/version.*must be a semantic version/).first().waitFor();
    await take("pack-refused");
    await field.fill(release);
    await page.getByText("line4 1.2.0").waitFor();
    await take("pack-checked");
    await show("doctor");
    await page.getByLabel("Image", { exact: true }).fill(`${IMAGE_REPO}:1.0.0`);
    await page.getByRole("button", { name: "Examine", exact: true }).click();
    await page.getByRole("heading", { name: `Findings of ${IMAGE_REPO}:1.0.0` }).waitFor();
    await take("doctor-image");
    await show("nodes");
    await page.getByRole("button", { name: "Send 1.1.0 of line4 to gate-1" }).waitFor();
    await take("nodes");
    await page.getByRole("button", { name: "Send 1.1.0 of line4 to gate-1" }).click();
    await page.locator(".figures").getByText("upgrade").waitFor();
    await page.locator(".figures").scrollIntoViewIfNeeded();
    await take("nodes-plan");
    assertEquals([watched.foreign, watched.problems], [[], []]);
    await page.context().close();
  }
});

peerTest(
  "page: the empty screens and the sign-in, on a phone and on a desk, light and dark",
  ["chromium"],
  async () => {
    await using fixture = await createAgentFixture();
    const { path } = fixture.folder;
    const options = { env: { HOME: path }, cwd: path };
    const rows = [
      { command: "registry", data: "desk", screens: ["overview", "images", "releases", "registries", "nodes"] },
      { command: "agent", data: "site", screens: ["overview", "images", "releases", "registries"] },
    ];
    await using browser = await startBrowser();
    for (const { command, data, screens } of rows) {
      await using server = await startCrpe(
        [command, "--addr=127.0.0.1:0", `--data=${data}`, "--offline"].slice(0, command === "agent" ? 3 : 4),
        options,
      );
      await (await fetch(`${server.url}/api/access`)).body?.cancel();
      const token = await readToken(`${path}/${data}`);
      for (const form of FORMS) {
        const { page, watched, show, take } = await openCamera(browser, form, { url: server.url, token });
        for (const screen of screens) {
          await show(screen);
          await take(`empty-${command}-${screen}`);
        }
        await page.context().close();
        const unsigned = await openCamera(browser, form, { url: server.url });
        await unsigned.show(command === "agent" ? "install" : "pack");
        await unsigned.page.getByRole("button", { name: "Sign in" }).waitFor();
        await unsigned.take(`sign-in-${command}`);
        assertEquals([watched.foreign, watched.problems], [[], []]);
        await unsigned.page.context().close();
      }
    }
  },
);
