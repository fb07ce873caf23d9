import { createRegistryHandler } from "../../lib/registry/handler.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { createAgentFixture } from "../support/agent_fixture.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { startBrowser, takeScreenshot } from "../support/browser.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { Finger } from "../support/finger.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { peerTest } from "../support/peers.ts";
import { writeImage } from "../support/put_image.ts";

const IMAGE = "registry.test/app:1";
const MAX_TAPS = 11;

peerTest(
  "page: from an empty phone to a release that is installed on another machine takes fewer than 12 taps",
  ["chromium"],
  async () => {
    await using fixture = await createAgentFixture();
    const { folder, crpe } = fixture;
    const store = new DiskStore(`${folder.path}/upstream`);
    await writeImage(store, IMAGE, buildImage({ files: { "a.txt": "a" } }));
    await using upstream = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      (request) =>
        createRegistryHandler(store)(
          new Request(request.url.replace("/v2/app/", "/v2/registry.test/app/"), request),
        ),
    );
    const options = { env: { HOME: folder.path }, cwd: folder.path };
    await using registry = await startCrpe([
      "registry",
      "--addr=127.0.0.1:0",
      "--data=desk",
      `--upstream=registry.test=http://127.0.0.1:${upstream.addr.port}`,
    ], options);
    await using agent = await fixture.startAgent("--node-id=gate-2");
    const pair = async (command: string, data: string, url: string) => {
      const { stdout, stderr } = await crpe(command, "--pair", `--data=${data}`, `--addr=${new URL(url).host}`);
      return /^http:\S+#t=\S+$/m.exec(stdout)?.[0] ?? stderr;
    };
    const links = [await pair("registry", "desk", registry.url), await pair("agent", "site", agent.url)] as const;
    await using browser = await startBrowser();
    const { page, foreign, problems } = await browser.open({ viewport: "phone" });
    const finger = new Finger();
    const start = performance.now();

    // The camera has read the QR code of the registry.
    await page.goto(links[0]);
    await finger.tap(page.getByRole("link", { name: "Pack a release" }));
    await finger.paste(page.getByLabel("Release", { exact: true }), JSON.stringify(makeKubePkg({ [IMAGE]: "" })));
    await page.getByText("line4 1.0.0").waitFor();
    await finger.tap(page.getByRole("button", { name: "Pack into the outbox" }));
    await page.getByRole("button", { name: "Download line4 1.0.0" }).waitFor();
    await finger.tap(page.getByRole("link", { name: "Send to an agent" }));
    await finger.paste(page.getByLabel("Address, or the link"), links[1]);
    await finger.tap(page.getByRole("button", { name: "Add", exact: true }));
    await finger.tap(page.getByRole("button", { name: "Send 1.0.0 of line4 to gate-2" }));
    await page.locator(".figures").getByText("first install").waitFor();
    await finger.tap(page.getByRole("button", { name: "Send now" }));
    await page.getByText("line4 1.0.0", { exact: true }).waitFor();
    await page.getByText("handed over", { exact: true }).waitFor();

    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`${finger.taps} taps, ${seconds} s`);
    await takeScreenshot(page, "road-end-phone");
    assert(finger.taps <= MAX_TAPS, `${finger.taps} taps`);
    assertStringIncludes(await Deno.readTextFile(`${folder.path}/manifests/line4.yaml`), "name: web");
    assertEquals({ foreign, problems }, { foreign: [], problems: [] });
  },
);
