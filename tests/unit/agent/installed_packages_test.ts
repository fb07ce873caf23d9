import { ApiTokens } from "../../../lib/agent/check_token.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { createAgentHandlerFixture, TOKEN } from "../../support/agent_handler_fixture.ts";

const SECRET = "correct-horse";

function release(version: string, namespace?: string) {
  const digest = `sha256:${"1".repeat(64)}`;
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "db" }, stringData: { password: SECRET } };
  return parseKubePkg({
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name: "web", namespace, annotations: { last: SECRET }, note: SECRET },
    spec: { version, images: { "registry.test/app:1": digest }, manifests: { s: secret }, values: SECRET },
    status: {
      digests: [{ type: "manifest", name: "registry.test/app", digest, size: 3, tag: "1", note: SECRET }],
      note: SECRET,
    },
    note: SECRET,
  });
}

const PUBLIC = {
  apiVersion: "octohelm.tech/v1alpha1",
  kind: "KubePkg",
  metadata: { name: "web", namespace: "default" },
  spec: { version: "1.0.0", images: { "registry.test/app:1": `sha256:${"1".repeat(64)}` } },
  status: {
    digests: [
      { type: "manifest", name: "registry.test/app", digest: `sha256:${"1".repeat(64)}`, size: 3, tag: "1" },
    ],
  },
};

Deno.test("[79] reads without the token give names, versions, images and digests, and nothing else", async () => {
  await using site = await createAgentHandlerFixture();
  await site.records.write(release("1.0.0"));
  assertEquals(await (await site.ask("/kubepkgs")).json(), [PUBLIC]);
  assertEquals(await (await site.ask("/kubepkgs/web")).json(), PUBLIC);
  // The token does not change what these answer.
  assertEquals(await (await site.ask("/kubepkgs/web", { token: TOKEN })).json(), PUBLIC);
});

Deno.test("[79] the manifests of a package need the token", async () => {
  await using site = await createAgentHandlerFixture();
  await site.records.write(release("1.0.0"));
  for (const token of [undefined, `${TOKEN}x`]) {
    for (const method of ["GET", "HEAD"]) {
      for (const name of ["web", "unknown"]) {
        const response = await site.ask(`/kubepkgs/${name}/manifests`, { method, token });
        assertEquals([response.status, (await response.text()).includes(SECRET)], [401, false]);
      }
    }
  }
  const json = await site.ask("/kubepkgs/web/manifests", { token: TOKEN });
  assertEquals(await json.json(), release("1.0.0").spec.manifests);
  const yaml = await site.ask("/kubepkgs/web/manifests", { token: TOKEN, headers: { accept: "application/yaml" } });
  assertEquals(yaml.headers.get("content-type"), "application/yaml");
  const text = await yaml.text();
  assert(text.startsWith("---\n"), text);
  assertStringIncludes(text, "namespace: default");
  assertStringIncludes(text, SECRET);
  assertEquals((await site.ask("/kubepkgs/unknown/manifests", { token: TOKEN })).status, 404);
  assertEquals((await site.ask("/kubepkgs/web/manifests", { method: "PUT", token: TOKEN })).status, 405);
});

Deno.test("[79] an agent without a token shows no manifests", async () => {
  await using site = await createAgentHandlerFixture({ tokens: new ApiTokens(undefined) });
  assertEquals((await site.ask("/kubepkgs/web/manifests", { token: TOKEN })).status, 503);
});

Deno.test("[77] a name in two namespaces needs the namespace", async () => {
  await using site = await createAgentHandlerFixture();
  await site.records.write(release("1.0.0"));
  await site.records.write(release("2.0.0", "shop"));
  const versions = async (path: string) => {
    const response = await site.ask(path, { token: TOKEN });
    const { spec, errors } = await response.json();
    return [response.status, spec?.version ?? errors?.[0]?.message];
  };
  const choice = "Cannot choose between default/web and shop/web: name the namespace with ?namespace=NAMESPACE";
  assertEquals(await versions("/kubepkgs/web"), [409, choice]);
  assertEquals(await versions("/kubepkgs/web/manifests"), [409, choice]);
  assertEquals(await versions("/kubepkgs/web?namespace=shop"), [200, "2.0.0"]);
  assertEquals(await versions("/kubepkgs/web?namespace=default"), [200, "1.0.0"]);
  for (const namespace of ["lab", "", "..%2Fx"]) {
    assertEquals((await versions(`/kubepkgs/web?namespace=${namespace}`))[0], 404);
  }
  assertEquals((await (await site.ask("/kubepkgs")).json()).length, 2);
});

Deno.test("[92] a record that cannot be read is named in the list, and nothing of it is quoted", async () => {
  await using site = await createAgentHandlerFixture();
  await site.records.write(release("1.0.0"));
  await site.folder.write("data/kubepkg/broken/current.json", `{"${SECRET}":`);
  const list = await (await site.ask("/kubepkgs")).text();
  assertEquals([JSON.parse(list).length, list.includes(SECRET), list.includes("data/")], [2, false, false]);
  assertEquals(JSON.parse(list)[1].metadata, { name: "broken", namespace: "default" });
  const one = await site.ask("/kubepkgs/broken");
  assertEquals([one.status, (await one.text()).includes(SECRET)], [500, false]);
  assertEquals((await site.ask("/kubepkgs/web")).status, 200);
});

Deno.test("[64] the agent refuses a Host that is not its own, on its own routes", async () => {
  await using site = await createAgentHandlerFixture();
  for (const [host, status] of [["evil.test", 403], ["evil.test:36060", 403], ["agent.test:36060", 200]] as const) {
    for (const path of ["/kubepkgs", "/inventory"]) {
      const response = await site.ask(path, { headers: { host } });
      assertEquals(response.status, status, `${host} ${path}`);
      await response.body?.cancel();
    }
  }
});
