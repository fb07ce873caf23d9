import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeCertificate } from "../support/certificate.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { peerTest, runPeer } from "../support/peers.ts";
import { writeImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";
import { openServedStore } from "../support/served_store.ts";

peerTest(
  "skopeo and doctor trust an https crpe by the CA file that mirror-config writes",
  ["openssl", "skopeo"],
  async () => {
    await using folder = await TestFolder.create();
    await using tools = await ContainerTools.create();
    await writeImage(openServedStore(`${folder.path}/data`), "registry.test/team/app:1.0", buildImage());
    const { cert, key } = await makeCertificate();
    const ca = await folder.write("cert.pem", cert);
    const tls = [`--tls-cert=${ca}`, `--tls-key=${await folder.write("key.pem", key)}`];
    const env = { HOME: folder.path };
    await using crpe = await startCrpe(
      ["registry", "--addr=127.0.0.1:0", "--offline", `--data=${folder.path}/data`, ...tls],
      { env },
    );
    const flags = [`--to=${crpe.url}`, "--host=registry.test"];
    const inspect = () => {
      const args = [
        `--policy=${tools.home}/.config/containers/policy.json`,
        "inspect",
        "--raw",
        "docker://registry.test/team/app:1.0",
      ];
      return runPeer("skopeo", args, { env: { HOME: tools.home, REGISTRY_AUTH_FILE: `${tools.home}/auth.json` } });
    };
    const place = `--path=${tools.home}/.config/containers/registries.conf.d/50-crpe.conf`;
    const untrusted = await runCrpe(["mirror-config", "podman", ...flags, place, "--write"], { env });
    assertStringIncludes(untrusted.stderr, "with a private CA, run this again with --ca-file=FILE");
    assert((await inspect()).code !== 0, "the certificate is not trusted");
    assertEquals(
      (await runCrpe(["mirror-config", "podman", ...flags, place, `--ca-file=${ca}`, "--write"], { env })).code,
      0,
    );
    const inspected = await inspect();
    assertEquals(inspected.code, 0, inspected.stderr);

    const root = `--root=${folder.path}/root`;
    await Deno.mkdir(`${folder.path}/root`);
    const doctor = async () => {
      const { stdout } = await runCrpe(["doctor", "--offline", "--json", `--data=${folder.path}/none`, root], { env });
      const { findings } = JSON.parse(stdout) as { findings: { step: string; status: string; message: string }[] };
      return findings.find(({ step }) => step === "mirror of podman and CRI-O")!;
    };
    await runCrpe(["mirror-config", "podman", ...flags, root, "--write"], { env });
    const missing = await doctor();
    assertEquals(missing.status, "broken");
    assertStringIncludes(missing.message, "has a certificate that its clients do not trust");
    await runCrpe(["mirror-config", "podman", ...flags, root, `--ca-file=${ca}`, "--write"], { env });
    const trusted = await doctor();
    assertEquals(trusted.status, "ok", trusted.message);
  },
);
