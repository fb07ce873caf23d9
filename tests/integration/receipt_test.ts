import { createAgentFixture } from "../support/agent_fixture.ts";
import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { peerTest } from "../support/peers.ts";

peerTest("[106] a receipt of an agent is verified at the desk, by crpe and by openssl", ["openssl"], async () => {
  await using site = await createAgentFixture();
  const { file } = await site.pack("1.0.0", 1000);
  const { folder } = site;
  const write = async (name: string, document: unknown) => {
    await folder.write(name, typeof document === "string" ? document : JSON.stringify(document));
  };
  {
    await using agent = await site.startAgent();
    assertEquals((await site.push(file, agent.url).finished).code, 0);
    await write("receipt.json", await (await fetch(`${agent.url}/kubepkgs/line4/receipt`)).json());
    const inventory = await (await fetch(`${agent.url}/inventory`)).json();
    await write("inventory.json", inventory);
    assertStringIncludes(inventory.publicKey, "-----BEGIN PUBLIC KEY-----");
  }
  const key = await site.crpe("receipt", "key", "--data=site");
  await write("node.pub", key.stdout);
  assertEquals(JSON.parse(await Deno.readTextFile(`${folder.path}/inventory.json`)).publicKey, key.stdout);
  const printed = JSON.parse((await site.crpe("inventory", "--data=site")).stdout);
  assertEquals(printed.publicKey, key.stdout);

  const verify = async (name: string, ...flags: string[]) => await site.crpe("receipt", "verify", name, ...flags);
  const good = await verify("receipt.json", "--public-key=node.pub");
  assertEquals([good.code, good.stderr], [0, ""]);
  assertStringIncludes(good.stdout, "line4@1.0.0, imported at ");
  const document = JSON.parse((await verify("receipt.json", "--public-key=inventory.json", "--json")).stdout);
  assertEquals([document.name, document.trust, document.isKeyGiven, document.isWhole], [
    "line4",
    "unsigned",
    true,
    true,
  ]);
  assertEquals((await verify("site/kubepkg/line4/receipt.json", "--public-key=node.pub")).code, 0);
  const unknown = await verify("receipt.json");
  assertEquals(unknown.code, 0);
  assertStringIncludes(unknown.stderr, "--public-key FILE");

  const receipt = JSON.parse(await Deno.readTextFile(`${folder.path}/receipt.json`));
  await write("changed.json", { ...receipt, version: "2.0.0" });
  assertEquals((await verify("changed.json", "--public-key=node.pub")).code, 4);
  await site.crpe("keygen", "other");
  assertEquals((await verify("receipt.json", "--public-key=other.pub")).code, 3);
  assertEquals((await verify("receipt.json", "--public-key=receipt.json")).code, 2);

  // As docs/access.md says.
  const { name, namespace, version, node, imported, repaired, trust, key: signers, list, imageList } = receipt;
  const signed = { name, namespace, version, node, imported, repaired, trust, key: signers, list, imageList };
  await write("signed", JSON.stringify(signed));
  await Deno.writeFile(`${folder.path}/signature`, Uint8Array.fromBase64(receipt.signature.split(" ")[1]));
  const { success } = await new Deno.Command("openssl", {
    args: "pkeyutl -verify -pubin -inkey node.pub -rawin -in signed -sigfile signature".split(" "),
    cwd: folder.path,
    stdout: "null",
    stderr: "null",
  }).output();
  assertEquals(success, true);
  const listed = (await site.crpe("receipt", "--data=site")).stdout;
  assertEquals(listed.includes("line4") && listed.includes(receipt.signature.split(" ")[0]), true);
  const shown = (await site.crpe("receipt", "show", "line4", "--data=site")).stdout;
  assertStringIncludes(shown, `receipt signed by key ${receipt.signature.split(" ")[0]}`);
});
