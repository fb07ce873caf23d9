import { run } from "../../../../lib/cli/run.ts";
import { assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { createTestIo } from "../../../support/test_io.ts";

const RELEASE = {
  apiVersion: "octohelm.tech/v1alpha1",
  kind: "KubePkg",
  metadata: { name: "web" },
  spec: { version: "1.0.0" },
};

// URL stands for a server, DIR for a folder.
const rows: [what: string, args: string[], reason: string][] = [
  [
    "a file of --have",
    ["URL/k.json", "-oDIR/have.json", "--have=DIR/have.json"],
    "Cannot write DIR/have.json: the comm",
  ],
  ["a private key", ["URL/k.json", "-oDIR/key", "--sign-key=DIR/key"], "Cannot write DIR/key: the command reads"],
  [
    "a part that --since names",
    ["URL/k.json", "-oDIR/web.tgz", "--split=1MiB", "--since=DIR/web.part1of2.tgz"],
    "Cannot write DIR/web.part1of2.tgz: the command reads",
  ],
  ["a URL", ["URL/k.json", "-o", "http://a.test/web.tgz"], 'Cannot use -o "http://a.test/web.tgz": it is a URL;'],
  [
    "a bundle in a folder, before the list of k3s",
    ["DIR/k.json", "-oDIR/", "--sign-key=DIR/web@1.0.0.tgz", "--k3s=v1.34.1+k3s1", "--k3s-images=URL/list.txt"],
    "Cannot write DIR/web@1.0.0.tgz: the command reads",
  ],
];
for (const [what, args, reason] of rows) {
  Deno.test(`crpe pack refuses an output before anything is fetched: ${what}`, async () => {
    await using folder = await TestFolder.create();
    for (const name of ["have.json", "key", "web.part1of2.tgz", "web@1.0.0.tgz"]) await folder.write(name, "");
    await folder.write("k.json", JSON.stringify(RELEASE));
    const requests: string[] = [];
    await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, ({ url }) => {
      requests.push(url);
      return new Response(JSON.stringify(RELEASE));
    });
    const fill = (text: string) =>
      text.replace("URL/", `http://127.0.0.1:${server.addr.port}/`).replaceAll("DIR", folder.path);
    const io = createTestIo();
    assertEquals(await run(["pack", ...args.map(fill), `--data=${folder.path}/data`], io), 2);
    assertStringIncludes(io.errText, fill(reason));
    assertEquals(requests, []);
  });
}
