import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const CONTAINERFILE = new URL("../../scripts/service/Containerfile", import.meta.url).pathname;
const UID = 36060;

async function run(command: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(command, { args }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

peerTest(
  "the Containerfile builds: its files, their owners and modes, the user and the command",
  ["podman"],
  async () => {
    await using tools = await ContainerTools.create();
    await using folder = await TestFolder.create();
    for (const name of ["crpe", "LICENSE"]) await folder.write(`context/${name}`, name);
    // The base is in a registry of the internet. What this file adds to it is the same on an empty one.
    const built = await tools.podman([
      "build",
      "--isolation=chroot",
      "--build-arg=BASE=scratch",
      `--file=${CONTAINERFILE}`,
      "--tag=registry.test/crpe:1",
      `${folder.path}/context`,
    ]);
    assertEquals(built.code, 0, built.stderr);
    const inspected = await tools.podman(["inspect", "--type=image", "registry.test/crpe:1"]);
    const [{ Config: { User, Entrypoint, Cmd } }] = JSON.parse(inspected.stdout);
    assertEquals([User, Entrypoint, Cmd], [
      `${UID}:${UID}`,
      ["/crpe"],
      ["registry", "--data=/var/lib/crpe"],
    ]);
    const saved = await tools.podman([
      "save",
      "--format=oci-dir",
      `--output=${folder.path}/saved`,
      "registry.test/crpe:1",
    ]);
    assertEquals(saved.code, 0, saved.stderr);
    const lines: string[] = [];
    for (const name of await folder.listFiles("saved/blobs")) {
      lines.push(
        ...(await run("tar", "-tvzf", `${folder.path}/saved/blobs/${name}`, "--numeric-owner")).stdout.split("\n"),
      );
    }
    const found = lines.map((line) => line.split(/ +/)).map(([mode, owner, , , , path]) => `${mode} ${owner} ${path}`);
    for (
      const entry of [
        "-rwxr-xr-x 0/0 crpe",
        `-r--r--r-- ${UID}/${UID} var/lib/crpe/LICENSE`,
        `drwxr-xr-x ${UID}/${UID} var/lib/crpe/`,
      ]
    ) assert(found.includes(entry), `${entry}\n${lines.join("\n")}`);
  },
);

const executable = Deno.env.get("CRPE");
// Only the executable goes into the image.
if (executable) {
  Deno.test("the executable takes no code from the folder of temporary files, where others can write", async () => {
    await using folder = await TestFolder.create();
    // The runtime would look for compiled code under this name, and wait for a writer.
    await run("mkfifo", `${folder.path}/deno-compile-${executable.split("/").at(-1)}.cache`);
    const env = { TMPDIR: folder.path };
    const { code, stdout } = await runCrpe(["--version"], { env, within: ["timeout", "60"] });
    assertEquals([code, stdout.startsWith("crpe ")], [0, true]);
  });

  peerTest("the executable serves as the image's user with the libraries of glibc alone, without a shell", [
    "root",
    "unshare",
    "mount",
  ], async () => {
    await using folder = await TestFolder.create();
    const root = `${folder.path}/root`;
    await Deno.mkdir(`${root}/var/lib/crpe`, { recursive: true });
    await Deno.mkdir(`${root}/proc`);
    await Deno.copyFile(executable, `${root}/crpe`);
    const libraries = [...(await run("ldd", executable)).stdout.matchAll(/(\/\S+)/g)].map(([path]) => path);
    assertEquals(
      libraries.map((path) => path.replace(/^.*\/|[.-].*$/g, "")).filter((name) =>
        !["ld", "libc", "libm", "libdl", "librt", "libpthread", "libgcc_s"].includes(name)
      ),
      [],
    );
    for (const path of libraries) {
      await Deno.mkdir(root + path.slice(0, path.lastIndexOf("/")), { recursive: true });
      await Deno.copyFile(path, root + path);
    }
    await Deno.chown(`${root}/var/lib/crpe`, UID, UID);
    const started = new Deno.Command("unshare", {
      args: [
        "--mount",
        "sh",
        "-c",
        'mount --make-rprivate / && mount -t proc proc "$1/proc" && exec chroot --userspec="$2:$2" "$1" ' +
        "/crpe registry --data=/var/lib/crpe --addr=127.0.0.1:0",
        "sh",
        root,
        String(UID),
      ],
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const reader = started.stderr.pipeThrough(new TextDecoderStream()).getReader();
    let log = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      log += part.value;
      if (log.includes(" on http://")) break;
    }
    const url = /http:\/\/\S+?(?=,)/.exec(log)?.[0];
    assert(url !== undefined, log);
    assertEquals(await (await fetch(`${url}/healthz`)).json(), { status: "ok" });
    started.kill("SIGTERM");
    await reader.cancel();
    await started.status;
    assertStringIncludes(log, "data in /var/lib/crpe");
    assertEquals((await Deno.stat(`${root}/var/lib/crpe/ingest`)).uid, UID);
  });
}
