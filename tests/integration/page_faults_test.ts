import { computeDigest } from "../../lib/oci/digest.ts";
import { createAgentFixture } from "../support/agent_fixture.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { chooseFile, findBarriers, startBrowser, takeScreenshot, VIEWPORTS } from "../support/browser.ts";
import { type CrpeProcess, runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { mountSmall } from "../support/mount.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";
import { makeTar } from "../unit/bundle/bundle_support.ts";
import { A, B, LIST_FILES, listFiles, packageOf } from "../unit/bundle/list_bundle.ts";

const MIB = 1024 * 1024;
const IMAGE = "registry.test/app:1";

/** Where a registry runs. One that is started again keeps its address. */
interface Place {
  readonly folder: string;
  readonly data: string;
  readonly addr?: string;
}

function startRegistry({ folder, data, addr = "127.0.0.1:0" }: Place, ...flags: string[]): Promise<CrpeProcess> {
  const options = { env: { HOME: folder }, cwd: folder };
  return startCrpe(["registry", `--addr=${addr}`, `--data=${data}`, ...flags], options);
}

/** Makes a link that signs in. */
async function pair(folder: string, data: string, url: string): Promise<string> {
  const options = { env: { HOME: folder }, cwd: folder };
  const { stdout } = await runCrpe(["registry", "--pair", `--data=${data}`, `--addr=${new URL(url).host}`], options);
  return /^http:\S+#t=\S+$/m.exec(stdout)![0];
}

peerTest(
  "page: a pull goes on after the server was restarted; a token that was changed meanwhile signs the screens out",
  ["chromium"],
  async () => {
    await using folder = await TestFolder.create();
    const { path } = folder;
    await using upstream = startFaultUpstream();
    const { layers: [layer] } = upstream.addImage(
      "app",
      "1",
      [crypto.getRandomValues(new Uint8Array(60_000)), ...[
        new Uint8Array(4 * MIB),
      ]].reverse(),
    );
    const gate = Promise.withResolvers<void>();
    upstream.fail({ path: layer!.digest, pause: { after: 3 * MIB, until: gate.promise }, times: 1 });
    const flags = [`--upstream=registry.test=${upstream.url}`];
    const registry = await startRegistry({ folder: path, data: "data" }, ...flags);
    const addr = new URL(registry.url).host;
    await using browser = await startBrowser();
    const { page, foreign, problems } = await browser.open();
    await page.goto(await pair(path, "data", registry.url));
    await page.goto(`${registry.url}/#/images`);
    const pull = async () => {
      await page.getByLabel("Pull an image").fill(IMAGE);
      await page.getByRole("button", { name: "Pull", exact: true }).click();
    };
    await pull();
    await page.getByText(/^[23]\.\d MiB of /).waitFor();
    await registry.kill("SIGKILL");
    gate.resolve();
    await page.getByText("The server does not answer.").waitFor();
    await pull();
    await page.getByRole("alert").getByText("no connection to the server").waitFor();
    const again = await startRegistry({ folder: path, data: "data", addr }, ...flags);
    await page.getByText("The server does not answer.").waitFor({ state: "detached" });
    await pull();
    await page.getByRole("button", { name: `Remove ${IMAGE}` }).waitFor();
    const received = upstream.bodyBytes;
    assert(received < 1.3 * 4 * MIB, `${received} bytes of an image with ${4 * MIB}`);

    await again[Symbol.asyncDispose]();
    await Deno.writeTextFile(`${path}/data/kubepkg/.token`, "another-token");
    await page.addInitScript(`sessionStorage.setItem("crpe-token", "a-token-of-before")`);
    for (const screen of ["images", "registries", "pack"]) {
      await using _changed = await startRegistry({ folder: path, data: "data", addr }, ...flags);
      // Another query, so that the page is loaded again.
      await page.goto(`${registry.url}/?${screen}#/${screen}`);
      await page.getByText("The token is not valid any more.").waitFor();
    }
    assertEquals({ foreign, problems }, { foreign: [], problems: [] });
  },
);

peerTest(
  "[31] page: a full disk is named by every change, which succeeds when there is room again",
  ["chromium", "root", "mount"],
  async () => {
    await using mount = await mountSmall(6 * MIB);
    await using folder = await TestFolder.create();
    await using upstream = startFaultUpstream();
    upstream.addImage("app", "1", [new Uint8Array(64 * MIB).fill(1)]);
    upstream.addImage("small", "1", [new Uint8Array(1000)]);
    const data = `${mount.path}/data`;
    const inventory = `${folder.path}/inventory-gate-2.json`;
    await Deno.writeTextFile(inventory, `${JSON.stringify({ digests: [] })}${" ".repeat(200_000)}`);
    await folder.write("release.json", JSON.stringify(makeKubePkg({})));
    // Nothing else may take room, and give it back, meanwhile.
    await using registry = await startRegistry(
      { folder: folder.path, data },
      `--upstream=registry.test=${upstream.url}`,
      "--no-complete",
    );
    await using browser = await startBrowser();
    const { page, foreign, problems } = await browser.open();
    await page.goto(await pair(folder.path, data, registry.url));
    await page.goto(`${registry.url}/#/images`);
    const pull = async (image: string) => {
      await page.getByLabel("Pull an image").fill(image);
      await page.getByRole("button", { name: "Pull", exact: true }).click();
    };
    await pull(IMAGE);
    await page.getByRole("alert").getByText(/^Cannot pull registry\.test\/app:1: it needs .* are missing$/).waitFor();
    await takeScreenshot(page, "images-full-disk-phone");
    await page.getByRole("button", { name: "Dismiss" }).click();

    // Nothing more can be written.
    const filler = `${mount.path}/filler`;
    const fill = async () => {
      using file = await Deno.open(filler, { write: true, create: true });
      const block = new Uint8Array(4096);
      try {
        while (await file.write(block) > 0);
      } catch {
        // It is full.
      }
    };
    await fill();
    const refusal = () => page.getByRole("alert").getByText(/space|is full/).first();
    const save = async () => {
      await page.goto(`${registry.url}/#/registries`);
      await page.getByLabel("Host, as in the names of images").fill("mirror.test");
      await page.getByLabel("URL, if it is another").fill(upstream.url);
      await page.getByRole("button", { name: "Save" }).click();
    };
    const keep = async () => {
      await page.goto(`${registry.url}/#/pack`);
      await chooseFile(page, "#release-file", `${folder.path}/release.json`);
      await page.getByText("line4 1.0.0").waitFor();
      await chooseFile(page, "#have-file", inventory);
    };
    await save();
    await refusal().waitFor();
    await keep();
    await refusal().waitFor();
    const { inventories } = await (await fetch(`${registry.url}/api/inventories`)).json();
    assertEquals(inventories, []);
    await Deno.remove(filler);
    await keep();
    await page.locator("#have option:checked", { hasText: "gate-2" }).waitFor({ state: "attached" });
    await save();
    await page.getByRole("button", { name: "Edit mirror.test" }).waitFor();
    await page.goto(`${registry.url}/#/images`);
    await pull("registry.test/small:1");
    await page.getByRole("button", { name: "Remove registry.test/small:1" }).waitFor();
    assertEquals({ foreign, problems }, { foreign: [], problems: [] });
  },
);

peerTest("page: a bundle of several packages is sent whole, each package with its result", ["chromium"], async () => {
  await using fixture = await createAgentFixture();
  const { folder, crpe } = fixture;
  await using agent = await fixture.startAgent();
  await using registry = await startRegistry({ folder: folder.path, data: "source" }, "--offline");
  const put = async (files: typeof LIST_FILES) => {
    const bytes = makeTar(files);
    const name = computeDigest(bytes).replace(":", "-");
    await folder.write(`source/outbox/${name}.tgz`, bytes);
  };
  await put(LIST_FILES);
  await using browser = await startBrowser();
  const { page, foreign, problems } = await browser.open();
  await page.goto(await pair(folder.path, "source", registry.url));
  await page.goto(`${registry.url}/#/nodes`);
  const link = await crpe("agent", "--pair", "--data=site", `--addr=${new URL(agent.url).host}`);
  await page.getByLabel("Address, or the link").fill(/^http:\S+#t=\S+$/m.exec(link.stdout)![0]);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  const send = page.getByRole("button", { name: /^Send all 2 packages to / });
  await send.click();
  await page.getByText("is sent whole").waitFor();
  await takeScreenshot(page, "nodes-several-phone");
  const width = await page.evaluate<number>("document.documentElement.scrollWidth");
  assert(width <= VIEWPORTS.phone.width, `the page is ${width} pixels wide`);
  assertEquals(await findBarriers(page), []);
  await page.getByRole("button", { name: "Send now" }).click();
  await page.getByText("a 1.0.0", { exact: true }).waitFor();
  await page.getByText("b 1.0.0", { exact: true }).waitFor();
  await send.waitFor({ state: "detached" });

  // Of the next bundle the agent refuses one package, and installs the other.
  await put(listFiles([packageOf("a", A, "0.9.0"), packageOf("b", B, "1.1.0")]));
  await page.reload();
  await send.click();
  await page.getByRole("button", { name: "Send now" }).click();
  await page.getByRole("alert").getByText("Cannot import a@0.9.0").waitFor();
  await page.getByText("b 1.1.0", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Send anyway" }).click();
  await page.getByText("a 0.9.0", { exact: true }).waitFor();
  assertEquals({ foreign, problems }, { foreign: [], problems: [] });
});
