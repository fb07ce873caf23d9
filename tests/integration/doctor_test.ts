import type { Finding } from "../../lib/doctor/finding.ts";
import type { ImageTrace } from "../../lib/doctor/trace_image.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeCertificate } from "../support/certificate.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startDistribution, TEST_PASSWORD } from "../support/distribution.ts";
import { FaultUpstream } from "../support/fault_upstream.ts";
import { buildImage, buildIndex } from "../support/images.ts";
import { mountSmall } from "../support/mount.ts";
import { peerTest } from "../support/peers.ts";
import { pushImage, writeImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";
import { createOtherUser } from "../support/other_user.ts";
import { hashSync } from "bcryptjs";

const LOGIN = { user: "engineer", password: TEST_PASSWORD };
const index = buildIndex([buildImage(), buildImage({ platform: "linux/arm64" })]);

interface Report {
  readonly status: "ok" | "broken";
  readonly findings: readonly Finding[];
  readonly firstBroken?: Finding;
  readonly image?: ImageTrace;
}

/** Runs `crpe doctor --json` on a folder that contains the data folder and the clients' files. */
async function doctor(folder: TestFolder, ...args: string[]): Promise<Report> {
  const flags = ["--json", `--data=${folder.path}/data`, `--root=${folder.path}`];
  const { code, stdout, stderr } = await runCrpe(["doctor", ...args, ...flags], { env: { HOME: folder.path } });
  assert(stdout !== "", stderr);
  const report: Report = JSON.parse(stdout);
  assertEquals(code, report.status === "ok" ? 0 : 1, stdout);
  assertEquals(report.firstBroken, report.findings.find(({ status }) => status === "broken"));
  return report;
}

peerTest("doctor distinguishes an accepted login from a refused one", ["docker-registry"], async () => {
  await using folder = await TestFolder.create();
  await using distribution = await startDistribution({ htpasswd: LOGIN });
  await pushImage(distribution.url, "team/app:1", { image: index, auth: LOGIN });
  for (const [password, part] of [[LOGIN.password, "accepts the login"], ["wrong-and-secret", "refuses the login"]]) {
    const host = { url: distribution.url, username: LOGIN.user, password };
    const config = await folder.write(
      "config.yaml",
      JSON.stringify({ upstream: ["registry.test"], hosts: { "registry.test": host } }),
    );
    const { status, findings } = await doctor(folder, `--config=${config}`);
    assertEquals(status, password === LOGIN.password ? "ok" : "broken");
    assertStringIncludes(findings.find(({ step }) => step === "upstream registry.test")!.message, part!);
    assertEquals(JSON.stringify(findings).includes("wrong-and-secret"), false);
    const { image, firstBroken } = await doctor(folder, "registry.test/team/app:1", `--config=${config}`);
    if (password === LOGIN.password) assertEquals(image?.content?.every(({ isThere }) => isThere), true);
    else assertStringIncludes(firstBroken?.advice ?? "", "correct the user name");
  }
});

peerTest("[20] doctor names an untrusted certificate", ["openssl"], async () => {
  await using folder = await TestFolder.create();
  const certificate = await makeCertificate();
  await using upstream = new FaultUpstream({ tls: certificate });
  const { firstBroken } = await doctor(folder, `--upstream=registry.test=${upstream.url}`);
  assertEquals(firstBroken?.step, "upstream registry.test");
  assertStringIncludes(`${firstBroken?.message} ${firstBroken?.advice}`, "certificate");
  await folder.write("ca.pem", certificate.cert);
  const config = {
    upstream: ["registry.test"],
    hosts: { "registry.test": { url: upstream.url, "ca-file": "ca.pem" } },
  };
  const path = await folder.write("config.yaml", JSON.stringify(config));
  assertEquals((await doctor(folder, `--config=${path}`)).status, "ok");
});

peerTest(
  "doctor IMAGE traces an image that is uncached, cached, or cached without its registry",
  ["docker-registry"],
  async () => {
    await using folder = await TestFolder.create();
    const distribution = await startDistribution();
    let isUp = true;
    try {
      await pushImage(distribution.url, "team/app:1", { image: index });
      const upstream = `--upstream=registry.test=${distribution.url}`;
      const trace = async () => (await doctor(folder, "registry.test/team/app:1", upstream)).image?.content ?? [];
      assertEquals((await trace()).map(({ isHere, isThere }) => [isHere, isThere]), Array(7).fill([false, true]));
      // The trace stores nothing.
      assertEquals(await folder.listFiles("data"), []);
      const args = ["pull", "registry.test/team/app:1", `--data=${folder.path}/data`, upstream];
      assertEquals((await runCrpe(args, { env: { HOME: folder.path } })).code, 0);
      assertEquals((await trace()).map(({ isHere }) => isHere), Array(7).fill(true));
      await distribution[Symbol.asyncDispose]();
      isUp = false;
      const gone = await doctor(folder, "registry.test/team/app:1", upstream);
      assertEquals(gone.status, "ok");
      assertEquals(gone.findings.find(({ step }) => step === "tag")?.status, "warning");
      const unknown = await doctor(folder, "registry.test/team/none:1", upstream);
      assertEquals([unknown.status, unknown.firstBroken?.step], ["broken", "tag"]);
    } finally {
      if (isUp) await distribution[Symbol.asyncDispose]();
    }
  },
);

Deno.test("doctor IMAGE names the missing blob in its text output", async () => {
  await using folder = await TestFolder.create();
  const image = buildImage();
  await writeImage(new DiskStore(`${folder.path}/data`), "registry.test/app:1", image);
  const [digest = ""] = image.blobs.keys();
  const hex = digest.slice("sha256:".length);
  await Deno.remove(`${folder.path}/data/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`);
  const { code, stdout } = await runCrpe(
    ["doctor", "registry.test/app:1", "--offline", `--data=${folder.path}/data`, `--root=${folder.path}`],
    { env: { HOME: folder.path } },
  );
  assertEquals(code, 1);
  assertStringIncludes(
    stdout,
    `the first broken step: blobs: 1 of 2 are in the store; sha256:${hex.slice(0, 12)} is not available`,
  );
  assertStringIncludes(stdout, "what to do: pull the image");
});

peerTest("[33] doctor reports a data folder that is full or read-only", ["root", "mount"], async () => {
  await using folder = await TestFolder.create();
  await using mount = await mountSmall(8 * 2 ** 20);
  const check = async () => {
    const { code, stdout } = await runCrpe(["doctor", "--offline", "--json", `--data=${mount.path}`], {
      env: { HOME: folder.path },
    });
    const { findings }: Report = JSON.parse(stdout);
    return [code, ...findings.filter(({ status }) => status === "broken").map(({ step }) => step)];
  };
  assertEquals(await check(), [1, "space"]);
  await mount.freeze();
  assertEquals(await check(), [1, "rights", "space"]);
});

Deno.test("doctor checks the mirrors that this machine's clients use, also when offline", async () => {
  await using folder = await TestFolder.create();
  const crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", `--data=${folder.path}/other`, "--offline"], {
    env: { HOME: folder.path },
  });
  const upstream = `--upstream=registry.test=${crpe.url}`;
  const mirrorsOf = ({ findings }: Report) =>
    findings.filter(({ step }) => step === "mirror of k3s").map(({ status }) => status);
  try {
    const args = ["mirror-config", "k3s", `--to=${crpe.url}`, "--write", `--root=${folder.path}`];
    assertEquals((await runCrpe(args, { env: { HOME: folder.path } })).code, 0);
    const report = await doctor(folder, upstream);
    assertEquals([report.status, mirrorsOf(report)], ["ok", ["ok"]], JSON.stringify(report));
    const offline = await doctor(folder, upstream, "--offline");
    assertEquals([offline.status, mirrorsOf(offline)], ["ok", ["ok"]], JSON.stringify(offline));
  } finally {
    await crpe[Symbol.asyncDispose]();
  }
  assertEquals(mirrorsOf(await doctor(folder, upstream)), ["broken"]);
  const offline = await doctor(folder, upstream, "--offline");
  assertEquals([offline.status, mirrorsOf(offline)], ["broken", ["broken"]]);
});

peerTest(
  "doctor reports a closed site once, and not as broken, when no upstream is configured",
  ["root", "unshare"],
  async () => {
    await using folder = await TestFolder.create();
    const flags = ["doctor", "--json", `--data=${folder.path}/data`, `--root=${folder.path}`];
    // The network namespace has not even a loopback device that is up.
    const { stdout, stderr } = await runCrpe(flags, { env: { HOME: folder.path }, within: ["unshare", "--net"] });
    assert(stdout !== "", stderr);
    const report: Report = JSON.parse(stdout);
    const upstreams = report.findings.filter(({ step }) => step.startsWith("upstream"));
    assertEquals([report.status, ...upstreams.map(({ status }) => status as string)], ["ok", "skipped"], stdout);
    assertStringIncludes(upstreams[0]!.message, "none of them is configured");
  },
);

Deno.test("doctor names a docker that never uses its mirror, and a file of certificates that does not exist", async () => {
  await using folder = await TestFolder.create();
  const users = await folder.write("users", `u:${hashSync("secret", 4)}\n`);
  await using crpe = await startCrpe(
    ["registry", "--addr=127.0.0.1:0", `--data=${folder.path}/other`, "--offline", `--require-login=${users}`],
    { env: { HOME: folder.path } },
  );
  await folder.write("etc/docker/daemon.json", JSON.stringify({ "registry-mirrors": [crpe.url] }));
  await Deno.mkdir(`${folder.path}/var/lib/docker/image/overlay2`, { recursive: true });
  const args = ["doctor", "--json", "--upstream=r.test=http://127.0.0.1:1", `--data=${folder.path}/data`];
  const env = { HOME: folder.path, SSL_CERT_FILE: `${folder.path}/none.pem` };
  const { code, stdout } = await runCrpe([...args, `--root=${folder.path}`], { env });
  const { findings }: Report = JSON.parse(stdout);
  const broken = findings.filter(({ status }) => status === "broken");
  assertEquals([code, ...broken.map(({ step }) => step)], [
    1,
    "certificates of SSL_CERT_FILE",
    "upstream r.test",
    "mirror of docker",
  ]);
  assertStringIncludes(broken[2]!.message, `docker never uses ${crpe.url}, which asks for a login`);
  assertEquals(findings.filter(({ status, advice }) => status !== "ok" && advice === undefined), []);
});

peerTest("doctor reports folders that its user must not read, and goes on", ["root", "setpriv"], async () => {
  await using folder = await TestFolder.create();
  const blobs = `${folder.path}/data/docker/registry/v2/blobs/sha256/aa`;
  await Deno.mkdir(blobs, { recursive: true });
  await Deno.mkdir(`${folder.path}/etc/containerd/certs.d`, { recursive: true });
  await folder.write("etc/docker/daemon.json", '{"registry-mirrors":["http://127.0.0.1:1"]}');
  for (const name of ["data/docker", "etc/containerd", "etc/docker"]) await Deno.chmod(`${folder.path}/${name}`, 0o700);
  await Deno.chmod(folder.path, 0o755);
  const args = ["doctor", "--offline", "--json", `--data=${folder.path}/data`, `--root=${folder.path}`];
  await using user = await createOtherUser(folder.path);
  const { code, stdout, stderr } = await runCrpe(args, user.options);
  assertEquals([code, stderr], [1, ""]);
  const { findings }: Report = JSON.parse(stdout);
  const found = findings.filter(({ status }) => status !== "ok").map(({ step, status }) => `${status} ${step}`);
  assertEquals(found, ["broken rights", "broken rights", "skipped mirror of containerd", "skipped mirror of docker"]);
  const [first] = findings.filter(({ status }) => status === "broken");
  assertStringIncludes(first!.message, "cannot be read: permission denied");
  assertStringIncludes(first!.message, "belongs to root (mode 700)");
});
