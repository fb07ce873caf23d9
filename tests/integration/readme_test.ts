import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { type CrpeProcess, runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startDistribution, TEST_PASSWORD } from "../support/distribution.ts";
import { buildImage, buildIndex } from "../support/images.ts";
import { peerTest } from "../support/peers.ts";
import { pushImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const README = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));
const CI = Deno.readTextFileSync(new URL("../../.ci/run", import.meta.url));

/** The fenced blocks of a language, with the heading that they stand under. */
function blocksOf(language: string): { heading: string; text: string }[] {
  const found: { heading: string; text: string }[] = [];
  let heading = "";
  for (const [, title, fence, text] of README.matchAll(/^#+ (.+)$|^```(\w+)\n([^]*?)^```$/gm)) {
    if (title !== undefined) heading = title;
    else if (fence === language) found.push({ heading, text: text! });
  }
  return found;
}

const commands = blocksOf("sh").flatMap(({ heading, text }) =>
  text.split("\n").map((line) => ({ heading, line: line.replace(/\s+#.*$/, "").trim() })).filter(({ line }) =>
    line !== ""
  )
);
const isStory = (heading: string) => ["At the desk", "Packing", "At the site"].includes(heading);

Deno.test("the README's commands outside the story are those that CI runs", () => {
  const outside = commands.filter(({ heading }) => !isStory(heading)).map(({ line }) => line);
  assertEquals(outside, [
    "deno task demo",
    "deno task test",
    "npx -y deno@2.9.6 task demo",
    "npx -y deno@2.9.6 task test",
    "deno task compile",
    "./crpe --version",
  ]);
  for (const task of ["npx -y deno@2.9.6 task demo", "deno task test", "task compile", "./crpe --version"]) {
    assertStringIncludes(CI, task);
  }
});

peerTest("the README's story runs, command by command", ["docker-registry", "skopeo", "podman"], async () => {
  await using folder = await TestFolder.create();
  await using tools = await ContainerTools.create();
  const login = { user: "engineer", password: TEST_PASSWORD };
  await using distribution = await startDistribution({ htpasswd: login });
  const image = buildIndex(["linux/amd64", "linux/arm64"].map((platform) => buildImage({ platform })));
  await pushImage(distribution.url, "team/web", "1.0", image, { auth: login });

  await folder.write("password", `${TEST_PASSWORD}\n`);
  const [config] = blocksOf("yaml").filter(({ text }) => text.startsWith("# crpe.yaml"));
  await folder.write(
    "crpe.yaml",
    config!.text
      .replace("/etc/crpe/password", `${folder.path}/password`)
      .replace("http://192.168.1.5:5000", distribution.url),
  );
  await folder.write("line4.json", blocksOf("json")[0]!.text);

  let server: CrpeProcess | undefined;
  const stop = async () => await server?.[Symbol.asyncDispose]();
  try {
    for (const { heading, line } of commands.filter(({ heading }) => isStory(heading))) {
      const words = line
        .replaceAll("/srv/crpe", `${folder.path}/${heading === "At the site" ? "site" : "desk"}`)
        .replaceAll("127.0.0.1:6060", server === undefined ? "" : new URL(server.url).host)
        .replaceAll("/var/lib/rancher/k3s/server/manifests", `${folder.path}/manifests`)
        .replaceAll("dir:web", `dir:${folder.path}/web`)
        .split(" ");
      const [program, ...args] = words;
      const options = { env: { HOME: folder.path }, cwd: folder.path };
      if (args[0] === "registry") {
        await stop();
        server = await startCrpe([...args, "--addr=127.0.0.1:0"], options);
        continue;
      }
      const result = program === "./crpe"
        ? await runCrpe(args, options)
        : program === "skopeo"
        ? await tools.skopeo(args.filter((arg) => !arg.includes("tls-verify")))
        : await tools.podman(args.filter((arg) => !arg.includes("tls-verify")));
      assertEquals(result.code, 0, `${line}: ${result.stderr}`);
    }
    assert(server !== undefined);
    const response = await fetch(`${server.url}/v2/registry.lan/team/web/manifests/1.0`, { method: "HEAD" });
    assertEquals(response.headers.get("docker-content-digest"), image.root.digest);
    assertEquals(await folder.listFiles("manifests"), ["line4.yaml"]);
  } finally {
    await stop();
  }
});
