import { computeDigest } from "../../lib/oci/digest.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { chooseFile, findBarriers, startBrowser } from "../support/browser.ts";
import { makeBytes } from "../support/content.ts";
import { type CrpeProcess, runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createReleases } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";
import { type ServedS3, serveMemoryS3 } from "../support/served_s3.ts";

const NAME = "registry.test/team/app";
const [first, second] = ["1", "2"].map((text) => buildImage({ files: { "a.txt": text, "b.bin": makeBytes(100_000) } }));

const STORE = "s3://bucket/pre";

/** A bucket, and two releases of a package that were packed without it. */
async function openFixture() {
  const fixture = await createReleases(NAME, [first!, second!]);
  const s3: ServedS3 = serveMemoryS3();
  const { path } = fixture.folder;
  const options = { env: { HOME: path, ...s3.env }, cwd: path };
  return {
    path,
    s3,
    /** Runs crpe on a machine, which has a data folder of its own. */
    run: (machine: string, ...args: string[]) => runCrpe([...args, `--data=${machine}`, `--store=${STORE}`], options),
    /** Runs crpe without the bucket. */
    runLocal: fixture.crpe,
    serve: (machine: string, command: string, { store = STORE, flags = [] }: ServeOptions = {}) =>
      startCrpe([command, "--addr=127.0.0.1:0", `--data=${machine}`, `--store=${store}`, ...flags], options),
    /** Measures the images of the bucket, sorted by name. */
    async measure() {
      const { code, stdout, stderr } = await this.run("other", "images", "du", "--json");
      assertEquals(code, 0, stderr);
      const { images, ...sums } = JSON.parse(stdout);
      type Usage = { references: string[]; size: number; unique: number };
      return { images: images.sort((a: Usage, b: Usage) => a.references[0]! < b.references[0]! ? -1 : 1), ...sums };
    },
    readToken: async (machine: string) => (await Deno.readTextFile(`${path}/${machine}/kubepkg/.token`)).trim(),
    async [Symbol.asyncDispose]() {
      await s3[Symbol.asyncDispose]();
      await fixture[Symbol.asyncDispose]();
    },
  };
}

interface ServeOptions {
  readonly store?: string;
  readonly flags?: readonly string[];
}

/** Asks the API of a page. */
async function ask(url: string, path: string, { method = "GET", token, body }: {
  readonly method?: string;
  readonly token?: string;
  readonly body?: BodyInit;
} = {}) {
  const headers: HeadersInit = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(`${url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
  return { status: response.status, document: await response.json() };
}

/** Waits for a job of the page. */
async function waitForJob(url: string, id: string, token: string) {
  for (;;) {
    const { document } = await ask(url, "/api/jobs", { token });
    const job = document.jobs.find((it: { id: string }) => it.id === id);
    if (job.state !== "starting" && job.state !== "running") return job;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

Deno.test("[103] packages remove --to an agent with a bucket removes signatures, and says how the space is freed", async () => {
  await using fixture = await openFixture();
  await using agent = await fixture.serve("a", "agent");
  const token = `--token-file=${fixture.path}/a/kubepkg/.token`;
  const remote = [`--to=${agent.url}`, token, "--insecure-http"];
  const pushed = await fixture.runLocal("push", "release1.tgz", ...remote, "--data=pusher");
  assertEquals(pushed.code, 0, pushed.stderr);
  const tags = `pre/docker/registry/v2/repositories/${NAME}/_manifests/tags`;
  const { objects } = fixture.s3.memory;
  const signature = `${tags}/${first!.root.digest.replace(":", "-")}.sig/current/link`;
  objects.set(signature, objects.get(`${tags}/1/current/link`)!);
  const removed = await fixture.runLocal("packages", "remove", "line4", ...remote);
  assertEquals(removed.code, 0, removed.stderr);
  assertStringIncludes(removed.stdout, `crpe gc --untagged --store=${STORE} on that machine frees the space`);
  assertEquals([...objects.keys()].filter((key) => key.startsWith(tags)), []);
});

Deno.test("[103] the page of a registry with a bucket lists, pulls and removes images", async () => {
  await using fixture = await openFixture();
  await using upstream = startFaultUpstream();
  const added = upstream.addImage("team/pulled", "1", [makeBytes(200_000)]);
  assertEquals((await fixture.run("other", "import", "release1.tgz")).code, 0);
  await using registry = await fixture.serve("a", "registry", { flags: [`--upstream=registry.test=${upstream.url}`] });
  const { url } = registry;
  const html = await fetch(url, { headers: { accept: "text/html" } });
  assertStringIncludes(await html.text(), "<title>");
  const listImages = async () => {
    const { status, document } = await ask(url, "/api/images");
    assertEquals(status, 200, JSON.stringify(document));
    return document.images.map(({ reference, isComplete, packages }: Record<string, unknown>) => [
      reference,
      isComplete,
      packages,
    ]);
  };
  assertEquals(await listImages(), [[`${NAME}:1`, true, ["line4"]]]);
  const status = await ask(url, "/api/status");
  const { name, copiesMax } = status.document.bucket;
  assertEquals([name, copiesMax], [`${STORE} at ${fixture.s3.env.AWS_ENDPOINT_URL}`, 10 * 2 ** 30]);
  assertEquals(status.document.problem, undefined);

  const shown = await fixture.runLocal("status", url);
  assertStringIncludes(shown.stdout, "store        a bucket, ");

  const pull = `/api/images?image=${encodeURIComponent("registry.test/team/pulled:1")}`;
  assertEquals((await ask(url, pull, { method: "POST" })).status, 401);
  const token = await fixture.readToken("a");
  const started = await ask(url, pull, { method: "POST", token });
  const job = await waitForJob(url, started.document.id, token);
  assertEquals([job.state, job.result?.digest], ["done", added.manifest.digest], JSON.stringify(job));
  assertEquals((await listImages()).map(([reference]: string[]) => reference), [
    `${NAME}:1`,
    "registry.test/team/pulled:1",
  ]);
  const removed = await ask(url, pull, { method: "DELETE", token });
  assertEquals([removed.status, removed.document.removed], [200, true]);
  const needed = await ask(url, `/api/images?image=${encodeURIComponent(`${NAME}:1`)}`, { method: "DELETE", token });
  assertEquals(needed.status, 409, JSON.stringify(needed.document));
  assertEquals((await listImages()).map(([reference]: string[]) => reference), [`${NAME}:1`]);
});

Deno.test("[103] the page of a registry with a bucket and a login shows its content to holders of the token alone", async () => {
  await using fixture = await openFixture();
  assertEquals((await fixture.run("a", "import", "release1.tgz")).code, 0);
  const line = "reader:$2a$04$aaaaaaaaaaaaaaaaaaaaaO3W2n3qV8jT1vQ0m5r9zZ1b0c2d4e6f8\n";
  await Deno.writeTextFile(`${fixture.path}/users`, line, { mode: 0o600 });
  await using registry = await fixture.serve("a", "registry", { flags: ["--offline", "--require-login=users"] });
  const { url } = registry;
  assertEquals((await ask(url, "/api/access")).document.reading, "token");
  const token = await fixture.readToken("a");
  for (const path of ["status", "images", "packages", "registries", "outbox", "jobs", "doctor?image=x"]) {
    const { status, document } = await ask(url, `/api/${path}`);
    assertEquals([status, JSON.stringify(document).includes("team/app")], [401, false], path);
  }
  const { status, document } = await ask(url, "/api/images", { token });
  assertEquals([status, document.images.length], [200, 1]);
  assertEquals((await ask(url, "/v2/_catalog")).status, 401);
});

Deno.test("[103] the page of an agent with a bucket installs, rolls back and removes packages", async () => {
  await using fixture = await openFixture();
  await using agent = await fixture.serve("a", "agent");
  const { url } = agent;
  const token = await fixture.readToken("a");
  for (const version of ["1", "2"]) {
    const body = await Deno.readFile(`${fixture.path}/release${version}.tgz`);
    const installed = await ask(url, "/kubepkgs", { method: "PUT", token, body });
    assert(installed.status < 300, JSON.stringify(installed.document));
  }
  const listPackages = async () => {
    const { document } = await ask(url, "/api/packages");
    return document.packages.map(({ version, earlier }: Record<string, unknown>) => [version, earlier]);
  };
  assertEquals(await listPackages(), [["2.0.0", ["1.0.0"]]]);
  const inventory = await ask(url, "/api/inventory");
  const { count, packages } = JSON.parse(inventory.document.code);
  assertEquals([count, packages], [6, ["line4@2.0.0"]]);
  const receipt = await ask(url, "/kubepkgs/line4/receipt");
  assertEquals(receipt.document.version, "2.0.0");
  const back = await ask(url, "/api/packages/line4/rollback", { method: "POST", token });
  assertEquals([back.document.rolledBack, back.document.to], [true, "1.0.0"], JSON.stringify(back.document));
  // Another machine has changed the same package in the meantime.
  assertEquals((await fixture.run("b", "packages", "rollback", "line4")).code, 0);
  const { images, total, unreferenced } = await fixture.measure();
  const [one, two] = images;
  assertEquals([one.references, two.references], [[`${NAME}:1`], [`${NAME}:2`]]);
  assertEquals([one.size + two.unique, unreferenced], [total, 0]);
  const planned = await ask(url, "/api/packages/line4?dry-run=true", { method: "DELETE", token });
  assertEquals(planned.document.untagged, [`${NAME}:1`, `${NAME}:2`], JSON.stringify(planned.document));
  assertEquals((await ask(url, "/api/images")).document.images.length, 2);
  const removed = await ask(url, "/api/packages/line4", { method: "DELETE", token });
  assertEquals([removed.document.removed, removed.document.version], [true, "2.0.0"], JSON.stringify(removed.document));
  assertEquals(await listPackages(), []);
  assertEquals((await ask(url, "/api/images")).document.images, []);
  assertEquals(await fixture.measure(), { images: [], total, unreferenced: total, partial: 0 });
});

Deno.test("[103] the page of a registry with a bucket packs deltas against what a site has, and sends only what is signed", async () => {
  await using fixture = await openFixture();
  for (const version of ["1", "2"]) assertEquals((await fixture.run("a", "import", `release${version}.tgz`)).code, 0);
  assertEquals((await fixture.runLocal("keygen", "desk")).code, 0);
  await using site = await fixture.serve("site", "agent", { store: "s3://bucket/site" });
  const siteToken = await fixture.readToken("site");
  const body = await Deno.readFile(`${fixture.path}/release1.tgz`);
  assertEquals((await ask(site.url, "/kubepkgs", { method: "PUT", token: siteToken, body })).document.imported, true);

  await using registry = await fixture.serve("a", "registry", { flags: ["--offline", "--trusted-keys=desk.pub"] });
  const { url } = registry;
  await ask(url, "/api/access");
  const token = await fixture.readToken("a");
  const inventory = await (await fetch(`${site.url}/inventory`)).text();
  const saved = await ask(url, "/api/inventories/site", { method: "PUT", token, body: inventory });
  assertEquals(saved.status, 201, JSON.stringify(saved.document));
  const release = makeKubePkg({ [`${NAME}:2`]: second!.root.digest }, { version: "2.0.0" });
  const started = await ask(url, "/api/packs?have=site", { method: "POST", token, body: JSON.stringify(release) });
  const job = await waitForJob(url, started.document.jobs[0].id, token);
  assertEquals(job.state, "done", JSON.stringify(job));
  const { digest, size } = job.result;
  assert(size < 50_000, `a bundle of ${size} bytes has a whole layer`);
  const node = { address: site.url, token: siteToken, insecure: true };
  assertEquals((await ask(url, "/api/nodes", { method: "POST", token, body: JSON.stringify(node) })).status, 201);
  const sending = `/api/nodes/${encodeURIComponent(site.url)}/plan?bundle=${digest}`;
  const refused = await ask(url, sending, { method: "POST", token });
  assertEquals(refused.status, 403, JSON.stringify(refused.document));
  assertStringIncludes(JSON.stringify(refused.document), "it is not signed");

  // The site rebuilds the layer from the one in its own bucket.
  const bundle = await fetch(`${url}/api/outbox/${digest}`, { headers: { authorization: `Bearer ${token}` } });
  const installed = await ask(site.url, "/kubepkgs", { method: "PUT", token: siteToken, body: await bundle.bytes() });
  assertEquals(installed.document.imported, true, JSON.stringify(installed.document));
  for (const [blob] of second!.blobs) {
    const response = await fetch(`${site.url}/v2/${NAME}/blobs/${blob}`);
    assertEquals([response.status, computeDigest(await response.bytes())], [200, blob]);
  }
});

peerTest("[103] the page of an agent with a bucket installs a bundle from the browser", ["chromium"], async () => {
  await using fixture = await openFixture();
  await using agent = await fixture.serve("a", "agent", { flags: ["--qr"] });
  await using browser = await startBrowser();
  const { page, foreign, problems } = await browser.open({ viewport: "phone" });
  await page.goto(await findLink(agent));
  await page.getByText(`${STORE} at ${fixture.s3.env.AWS_ENDPOINT_URL}`).waitFor();
  await page.getByText("copied from the bucket to this machine, of 10.0 GiB").waitFor();
  assertEquals(await findBarriers(page), []);
  await page.getByRole("link", { name: "Install from a file" }).click();
  await chooseFile(page, "#bundle", `${fixture.path}/release1.tgz`);
  await page.getByRole("button", { name: "Install", exact: true }).click();
  await page.getByText("line4 1.0.0 is installed.").waitFor();
  await page.getByRole("link", { name: "Images" }).click();
  await page.locator(".row", { hasText: `${NAME}:1` }).getByText("of line4").waitFor();
  await page.getByRole("link", { name: "Releases" }).click();
  await page.getByRole("button", { name: "Remove" }).click();
  await page.getByRole("button", { name: "Yes, remove it" }).click();
  await page.getByText("Nothing is installed").waitFor();
  // What the page shows of the crpes that are found; tests of the discovery find real ones.
  const status = await (await fetch(`${agent.url}/api/status`)).json();
  const peers = ["192.168.1.30:6060", "<img/src=x/onerror=alert(1)>"];
  await page.route("**/api/status", (route) => route.fulfill({ json: { ...status, peers } }));
  await page.goto(`${agent.url}/#/overview`);
  const found = page.locator("section", { hasText: "Other crpes of this network" }).locator(".row");
  await found.first().waitFor();
  assertEquals(await found.allInnerTexts(), peers);
  assertEquals({ foreign, problems }, { foreign: [], problems: [] });
});

/** Finds the link with a one-time code that a server with `--qr` prints. */
async function findLink({ log }: Pick<CrpeProcess, "log">): Promise<string> {
  for (;;) {
    const link = /^http:\S+#t=\S+$/m.exec(log())?.[0];
    if (link !== undefined) return link;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
