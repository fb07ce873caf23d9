import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { crpeCommand, type CrpeProcess, startCrpe } from "../support/crpe_process.ts";
import { startDistribution, TEST_PASSWORD } from "../support/distribution.ts";
import { buildImage, buildIndex } from "../support/images.ts";
import { peerTest } from "../support/peers.ts";
import { pushImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const README = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));
const CI = Deno.readTextFileSync(new URL("../../.ci/run", import.meta.url));

/** Finds the fenced code blocks of a language, and the heading above each of them. */
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
const DESK = ["At the desk", "Packing"];
const SITE = ["At the site", "The next release", "Over the network of the site"];
const isStory = (heading: string) => [...DESK, ...SITE].includes(heading);

Deno.test("CI runs the README's commands outside of its story", () => {
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

peerTest(
  "the commands of the README's story succeed one after the other",
  ["docker-registry", "skopeo", "podman"],
  async () => {
    await using folder = await TestFolder.create();
    await using tools = await ContainerTools.create();
    const login = { user: "engineer", password: TEST_PASSWORD };
    await using distribution = await startDistribution({ htpasswd: login });
    const image = buildIndex(["linux/amd64", "linux/arm64"].map((platform) => buildImage({ platform })));
    await pushImage(distribution.url, "team/web:1.0", { image, auth: login });

    await folder.write("password", `${TEST_PASSWORD}\n`);
    const [config] = blocksOf("yaml").filter(({ text }) => text.startsWith("# crpe.yaml"));
    await folder.write(
      "crpe.yaml",
      config!.text
        .replace("/etc/crpe/password", `${folder.path}/password`)
        .replace("http://192.168.1.5:5000", distribution.url),
    );
    await folder.write("line4.json", blocksOf("json")[0]!.text);

    // `./crpe` in the folder of the test runs the crpe under test.
    const words = crpeCommand().map((word) => `'${word}'`).join(" ");
    await Deno.chmod(await folder.write("crpe", `#!/bin/sh\nexec ${words} "$@"\n`), 0o755);

    for (const name of ["node", "k3s"]) await Deno.mkdir(`${folder.path}/${name}`);

    const servers = new Map<string, CrpeProcess>();
    const options = { env: { HOME: folder.path }, cwd: folder.path };
    try {
      for (const { heading, line } of commands.filter(({ heading }) => isStory(heading))) {
        const isDesk = DESK.includes(heading) || line.startsWith("./crpe pack ");
        let command = line
          .replaceAll("/srv/crpe", `${folder.path}/${isDesk ? "desk" : "site"}`)
          .replaceAll("/srv/", `${folder.path}/`)
          .replaceAll("/var/lib/rancher/k3s/server/manifests", `${folder.path}/k3s`)
          .replaceAll("dir:web", `dir:${folder.path}/web`)
          .replace("mirror-config k3s", `mirror-config k3s --root=${folder.path}/node`);
        for (const [name, port] of [["registry", 6060], ["agent", 36060]] as const) {
          const server = servers.get(name);
          if (server !== undefined) command = command.replaceAll(`127.0.0.1:${port}`, new URL(server.url).host);
        }
        const [program, ...args] = command.split(" ");
        const [name = ""] = args;
        if (program === "./crpe" && ["registry", "agent"].includes(name)) {
          await servers.get(name)?.[Symbol.asyncDispose]();
          servers.set(name, await startCrpe([...args, "--addr=127.0.0.1:0"], options));
          continue;
        }
        const result = program === "skopeo"
          ? await tools.skopeo(args.filter((arg) => !arg.includes("tls-verify")))
          : program === "podman"
          ? await tools.podman(args.filter((arg) => !arg.includes("tls-verify")))
          : await runShell(command, options);
        assertEquals(result.code, 0, `${line}: ${result.stderr}`);
      }
      const registry = servers.get("registry");
      assert(registry !== undefined);
      const response = await fetch(`${registry.url}/v2/registry.lan/team/web/manifests/1.0`, { method: "HEAD" });
      assertEquals(response.headers.get("docker-content-digest"), image.root.digest);
      for (const name of ["k3s", "manifests"]) assertEquals(await folder.listFiles(name), ["line4.yaml"]);
      const [installed] = JSON.parse((await runShell("./crpe packages --data=site --json", options)).stdout);
      assertEquals(installed.spec.version, "1.0.0");
    } finally {
      for (const server of servers.values()) await server[Symbol.asyncDispose]();
    }
  },
);

async function runShell(command: string, { env, cwd }: { env: Record<string, string>; cwd: string }) {
  const { code, stdout, stderr } = await new Deno.Command("/bin/sh", { args: ["-c", command], env, cwd }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}
