import { assert, assertEquals } from "../support/assert.ts";
import { findBarriers, startBrowser, takeScreenshot } from "../support/browser.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";

const MARKUP = "<img/src=x/onerror=alert(1)>";
const PASSWORD = "a-password-of-a-test";
const IMAGE = "registry.test/app:1";

/** A page of a registry that is signed in. */
async function startDesk() {
  const fixture = await createPackFixture({});
  const start = (addr = "--addr=127.0.0.1:0") => startCrpe(["registry", addr, "--data=source"], fixture.processOptions);
  const pair = async (url: string) => {
    const { stdout } = await fixture.crpe("registry", "--pair", "--data=source", `--addr=${new URL(url).host}`);
    return /^http:\S+#t=\S+$/m.exec(stdout)![0];
  };
  return { ...fixture, start, pair };
}

peerTest(
  "page: a registry is tested, added, edited and removed; its password is kept for its owner, and images are pulled with it",
  ["chromium"],
  async () => {
    await using upstream = startFaultUpstream({ auth: { type: "basic", username: "pull", password: PASSWORD } });
    const { layers: [layer] } = upstream.addImage("app", "1", [new Uint8Array(3_000_000)]);
    const gate = Promise.withResolvers<void>();
    await using desk = await startDesk();
    const file = `${desk.folder.path}/source/kubepkg/.registries.json`;
    const registry = await desk.start();
    await using browser = await startBrowser();
    const { page, foreign, problems } = await browser.open();
    await page.goto(await desk.pair(registry.url));
    await page.goto(`${registry.url}/#/registries`);
    const [host, url] = [page.getByLabel("Host, as in the names of images"), page.getByLabel("URL, if it is another")];
    const [user, password] = [page.getByLabel("User", { exact: true }), page.getByLabel("Password", { exact: true })];
    const [save, test] = ["Save", "Test first"].map((name) => page.getByRole("button", { name, exact: true }));

    // What the configuration file would refuse, and what only its file may say.
    const wrong: readonly (readonly [host: string, url: string, text: string])[] = [
      [MARKUP, "", "it is not a host name"],
      ["registry.test", "ftp://127.0.0.1", "ftp: is neither http: nor https:"],
      ["registry.test", `http://pull:${PASSWORD}@127.0.0.1`, "it has a user name or a password"],
    ];
    for (const [name, address, text] of wrong) {
      await host.fill(name);
      await url.fill(address);
      await save!.click();
      await page.getByRole("alert").getByText(text).waitFor();
      assert(!await page.getByRole("alert").getByText(PASSWORD).isVisible(), "the password is not repeated");
    }
    assertEquals(await page.locator("img").count(), 0);
    await host.fill("registry.test");
    await url.fill(upstream.url);
    await user.fill("pull");
    await password.fill("wrong");
    await test!.click();
    await page.getByText("upstream registry.test").waitFor();
    await page.locator(".pill", { hasText: "broken" }).waitFor();
    await password.fill(PASSWORD);
    await test!.click();
    await page.getByText(`${upstream.url}: it accepts the login`).waitFor();
    assertEquals(await Deno.stat(file).catch(() => undefined), undefined);
    await save!.click();
    await page.getByRole("button", { name: "Edit registry.test" }).waitFor();
    assertEquals((await Deno.stat(file)).mode! & 0o777, 0o600);
    await page.getByRole("button", { name: "Test registry.test" }).click();
    await page.getByText(`${upstream.url}: it accepts the login`).waitFor();
    await page.locator(".pill", { hasText: "answers" }).waitFor();
    await takeScreenshot(page, "registries-added-phone");
    assertEquals(await findBarriers(page), []);

    // Pulled with the new login, without a restart; a page that is reloaded finds the job.
    upstream.fail({ path: layer!.digest, pause: { after: 1_000_000, until: gate.promise } });
    await page.goto(`${registry.url}/#/images`);
    await page.getByLabel("Pull an image").fill(MARKUP);
    await page.getByRole("button", { name: "Pull", exact: true }).click();
    await page.getByRole("alert").waitFor();
    await page.getByLabel("Pull an image").fill(IMAGE);
    await page.getByRole("button", { name: "Pull", exact: true }).click();
    await page.getByRole("progressbar").waitFor();
    await page.reload();
    await page.getByRole("heading", { name: IMAGE }).waitFor();
    await page.getByRole("progressbar").waitFor();
    // The first screen shows the job and the download.
    await page.goto(`${registry.url}/#/overview`);
    await page.getByRole("heading", { name: "Transfers" }).waitFor();
    await page.getByRole("heading", { name: IMAGE }).waitFor();
    await page.getByRole("progressbar", { name: "Downloading registry.test/app" }).first().waitFor();
    await page.getByText(`${upstream.url.replace("http://", "")}`).first().waitFor();
    await takeScreenshot(page, "overview-transfers-phone");
    assertEquals(await findBarriers(page), []);
    await page.goto(`${registry.url}/#/images`);
    gate.resolve();
    await page.getByRole("button", { name: `Copy the pull command of ${IMAGE}` }).waitFor();
    await page.getByRole("progressbar").waitFor({ state: "detached" });
    await page.getByText("here since just now").waitFor();
    await (await fetch(`${registry.url}/v2/registry.test/app/manifests/1`)).body?.cancel();
    await page.reload();
    await page.getByText("used just now").waitFor();
    // The doctor traces one image.
    await page.goto(`${registry.url}/#/doctor`);
    for (const [image, text] of [[IMAGE, "ok"], ["registry.test/missing:1", "broken"], [MARKUP, "broken"]] as const) {
      await page.getByLabel("Image", { exact: true }).fill(image);
      await page.getByRole("button", { name: "Examine", exact: true }).click();
      await page.getByRole("heading", { name: `Findings of ${image}` }).waitFor();
      const findings = await (await fetch(`${registry.url}/api/doctor?image=${encodeURIComponent(image)}`)).json();
      assertEquals(findings.isBroken, text === "broken", JSON.stringify(findings));
    }
    assertEquals([await page.locator("img").count(), await findBarriers(page)], [0, []]);
    await takeScreenshot(page, "doctor-image-phone");
    await page.goto(`${registry.url}/#/images`);
    await page.getByLabel("Pull an image").fill("registry.test/missing:1");
    await page.getByRole("button", { name: "Pull", exact: true }).click();
    await page.getByRole("alert").getByText("registry.test/missing:1").waitFor();
    await page.getByRole("button", { name: "Dismiss" }).click();

    // A pinned image stays, with the reason; another one goes after a second yes.
    await desk.crpe("images", "pin", IMAGE, "--data=source");
    const remove = async () => {
      await page.getByRole("button", { name: `Remove ${IMAGE}` }).click();
      await page.getByRole("button", { name: "Yes, remove it" }).click();
    };
    await remove();
    await page.getByRole("alert").getByText("it is pinned").waitFor();
    await takeScreenshot(page, "images-pinned-phone");
    await desk.crpe("images", "unpin", IMAGE, "--data=source");
    await remove();
    await page.getByText(`${IMAGE} is removed`).waitFor();
    await page.getByText("No images yet").waitFor();
    assertEquals(await findBarriers(page), []);

    // After a restart the registry is there; another address does not get its password.
    const { host: addr } = new URL(registry.url);
    await registry[Symbol.asyncDispose]();
    const used = JSON.parse(await Deno.readTextFile(`${desk.folder.path}/source/ingest/image-use.json`));
    assertEquals(Object.keys(used).map((key) => key.split("@")[0]), ["registry.test/app"]);
    await using again = await desk.start(`--addr=${addr}`);
    // What a client's request has shown is there without a test.
    await (await fetch(`${again.url}/v2/registry.test/app/manifests/missing`)).body?.cancel();
    await page.goto(`${again.url}/#/registries`);
    await page.getByText("login accepted").waitFor();
    await takeScreenshot(page, "registries-seen-phone");
    await page.getByRole("button", { name: "Test registry.test" }).click();
    await page.getByText(`${upstream.url}: it accepts the login`).waitFor();
    await page.getByRole("button", { name: "Edit registry.test" }).click();
    await url.fill(`${upstream.url}/mirror`);
    await save!.click();
    await page.getByText(`${upstream.url}/mirror`).waitFor();
    assert(!(await Deno.readTextFile(file)).includes(PASSWORD), "the password went with its address");
    await page.getByRole("button", { name: "Remove registry.test" }).click();
    await page.getByRole("button", { name: "Yes, remove it" }).click();
    await page.getByRole("button", { name: "Edit registry.test" }).waitFor({ state: "detached" });
    assertEquals(JSON.parse(await Deno.readTextFile(file)), { hosts: {} });
    assert(!(await page.content()).includes(PASSWORD), "no password in the page");
    assertEquals({ foreign, problems }, { foreign: [], problems: [] });
  },
);
