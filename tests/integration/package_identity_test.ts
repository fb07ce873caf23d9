import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";

/** A site where `web` is installed in the namespaces `default` and `shop`. */
async function createSite() {
  const fixture = await createPackFixture({});
  const run = (...args: string[]) => fixture.crpe(...args, "--data=site");
  const importPackage = async (version: string, namespace?: string, ...flags: string[]) => {
    const file = `${namespace ?? "default"}-${version}`;
    const data = { version };
    await fixture.pack(makeKubePkg({}, { name: "web", version, data, ...(namespace && { namespace }) }), file);
    return await run("import", `${file}.tgz`, ...flags);
  };
  const outcomes = [await importPackage("1.0.0"), await importPackage("2.0.0", "shop")];
  for (const { code, stderr } of outcomes) assertEquals(code, 0, stderr);
  return { ...fixture, run, importPackage, warning: outcomes[1]!.stderr };
}

Deno.test("[77] the CLI takes NAME where it is unique, else NAMESPACE/NAME, and says that the name is not unique", async () => {
  await using site = await createSite();
  assertStringIncludes(site.warning, "a package named web is also installed in the namespace default");
  for (const command of ["history", "rollback", "remove"]) {
    const { code, stderr } = await site.run("packages", command, "web");
    assertEquals(code, 1);
    assertStringIncludes(stderr, "installed in 2 namespaces; name one of default/web, shop/web");
  }
  const history = await site.run("packages", "history", "shop/web", "--json");
  assertEquals(
    JSON.parse(history.stdout).map((it: { kubepkg: { spec: { version: string } } }) => it.kubepkg.spec.version),
    [
      "2.0.0",
    ],
  );
  const removed = await site.run("packages", "remove", "default/web");
  assertEquals([removed.code, removed.stdout.split("\n")[0]], [0, "removed web@1.0.0"]);
  const upgrade = await site.importPackage("2.1.0", "shop");
  assertStringIncludes(upgrade.stdout, "upgraded shop/web@2.1.0 from 2.0.0");
  const back = await site.run("packages", "rollback", "web", "--json");
  const { name, namespace, to } = JSON.parse(back.stdout);
  assertEquals([name, namespace, to], ["web", "shop", "2.0.0"]);
});

Deno.test("[92] a damaged record is named by packages, gc and verify, and both ways back work", async () => {
  await using site = await createSite();
  const path = "site/kubepkg/web/current.json";
  const damage = async () => {
    const text = await Deno.readTextFile(`${site.folder.path}/${path}`);
    await site.folder.write(path, text.replace('"version": "', '"version": "9'));
  };
  await damage();
  const list = await site.run("packages", "--json");
  assertEquals(list.code, 0, list.stderr);
  assertStringIncludes(list.stderr, `warning: Cannot use ${path}: its checksum is wrong`);
  const [shop, web] = JSON.parse(list.stdout);
  assertEquals([shop.spec.version, web.metadata.name, web.spec], ["2.0.0", "web", undefined]);
  assertStringIncludes(web.error, path);
  const gc = await site.run("gc");
  assertEquals(gc.code, 0);
  for (const text of ["warning: ", path, "crpe packages remove", "--forget", "--force"]) {
    assertStringIncludes(gc.stderr, text);
  }
  const verified = await site.run("verify", "--json");
  assertEquals([verified.code, JSON.parse(verified.stdout).records[0].path], [4, "kubepkg/web/current.json"]);

  assertEquals((await site.importPackage("3.0.0", "shop")).code, 0);
  const refused = await site.importPackage("1.1.0");
  assertEquals(refused.code, 4);
  assertStringIncludes(refused.stderr, path);
  const forced = await site.importPackage("1.1.0", undefined, "--force");
  assertEquals(forced.code, 0, forced.stderr);
  assertStringIncludes(forced.stderr, `a record that could not be read is now ${path}.broken`);
  assertEquals((await site.run("gc")).code, 0);

  await damage();
  const forgotten = await site.run("packages", "remove", "default/web", "--forget");
  assertEquals([forgotten.code, forgotten.stdout.split("\n")[0]], [0, "removed web"]);
  assertEquals((await site.run("gc")).code, 0);
  assertEquals(await site.folder.listFiles("site/kubepkg/web"), []);
});

peerTest(
  "[64][79] an agent answers its API under its own names and those of --host-name only, and pulls under every name of a proxy",
  ["curl"],
  async () => {
    await using site = await createSite();
    const flags = ["--addr=127.0.0.1:0", "--data=site", "--host-name=agent.example", "--host-name=203.0.113.9"];
    await using agent = await startCrpe(["agent", ...flags], site.processOptions);
    const { port } = new URL(agent.url);
    const statusOf = async (host: string, path: string, header = "Accept: */*") => {
      const headers = ["-H", `Host: ${host}`, "-H", header];
      const { stdout } = await new Deno.Command("curl", {
        args: ["-s", "-o", "/dev/null", "-w", "%{http_code}", ...headers, `${agent.url}${path}`],
      }).output();
      return Number(new TextDecoder().decode(stdout));
    };
    for (const host of [`127.0.0.1:${port}`, "localhost", Deno.hostname(), "agent.example", "203.0.113.9:80"]) {
      assertEquals([host, await statusOf(host, "/kubepkgs")], [host, 200]);
    }
    for (const host of ["evil.example", "x.agent.example", "203.0.113.10", "agent.example.evil.example"]) {
      for (const path of ["/kubepkgs", "/kubepkgs/web", "/inventory"]) {
        assertEquals([host, await statusOf(host, path)], [host, 403]);
      }
      // A public name of a request to the loopback interface is that of a proxy, or of a web page.
      assertEquals([host, await statusOf(host, "/v2/", "X-Forwarded-For: 192.0.2.1")], [host, 200]);
      if (!/^[0-9.]+$/.test(host)) assertEquals([host, await statusOf(host, "/v2/")], [host, 403]);
    }
    const bad = await site.crpe("agent", "--data=other", "--host-name=agent.example:80");
    assertEquals(bad.code, 2);
    assertStringIncludes(bad.stderr, "Cannot use --host-name");
  },
);

Deno.test("[79] a bundle, its records and its hand-over file are readable by their owner alone", async () => {
  await using site = await createSite();
  assertEquals((await site.importPackage("5.0.0", undefined, "--manifests-dir=manifests")).code, 0);
  const files = ["default-5.0.0.tgz", "manifests/web.yaml"];
  for (const name of await site.folder.listFiles("site/kubepkg")) files.push(`site/kubepkg/${name}`);
  // Of each of the two packages the record and the receipt; of the one that was handed over, its hand-over and history; and
  // the key of the node.
  assertEquals(files.length, 9, files.join());
  for (const name of files) {
    assertEquals([name, (await Deno.stat(`${site.folder.path}/${name}`)).mode! & 0o777], [name, 0o600]);
  }
});
