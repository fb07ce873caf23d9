import { DiskStore } from "../../lib/store/disk_store.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { type Certificate, makeCertificate } from "../support/certificate.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { peerTest } from "../support/peers.ts";
import { writeImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const image = buildImage();

async function writeCertificate(folder: TestFolder, { cert, key }: Certificate) {
  return { cert: await folder.write("tls/cert.pem", cert), key: await folder.write("tls/key.pem", key) };
}

/** Runs curl. @returns the status and the HTTP version, `000 0` when curl does not trust the certificate */
async function curl(url: string, ca: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command("curl", {
    args: ["-s", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--cacert", ca, ...args, url],
  }).output();
  return new TextDecoder().decode(stdout);
}

peerTest(
  "registry serves https, and reloads a renewed certificate without closing connections",
  ["openssl", "curl"],
  async () => {
    await using folder = await TestFolder.create();
    const [first, second] = [await makeCertificate(), await makeCertificate()];
    await writeImage(new DiskStore(`${folder.path}/data`), "registry.test/team/app:1.0", image);
    const tls = await writeCertificate(folder, first);
    const [ca, renewedCa] = [
      await folder.write("first.pem", first.cert),
      await folder.write("second.pem", second.cert),
    ];
    await using crpe = await startCrpe([
      ...["registry", "--addr=127.0.0.1:0", "--offline", `--data=${folder.path}/data`],
      ...[`--tls-cert=${tls.cert}`, `--tls-key=${tls.key}`],
    ]);
    assert(crpe.url.startsWith("https://127.0.0.1:"), crpe.url);
    const manifest = `${crpe.url}/v2/registry.test/team/app/manifests/1.0`;
    assertEquals(await curl(manifest, ca), "200 1.1");
    assertEquals(await curl(manifest, ca, "--http2"), "200 1.1");
    assertEquals(await curl(manifest, renewedCa), "000 0");

    // This connection stays open during the whole test.
    using open = await Deno.connectTls({
      hostname: "127.0.0.1",
      port: Number(new URL(crpe.url).port),
      caCerts: [first.cert],
    });
    const ask = async () => {
      await open.write(new TextEncoder().encode("GET /v2/ HTTP/1.1\r\nHost: test\r\n\r\n"));
      const buffer = new Uint8Array(1000);
      return new TextDecoder().decode(buffer.subarray(0, await open.read(buffer) ?? 0)).slice(0, 15);
    };
    assertEquals(await ask(), "HTTP/1.1 200 OK");
    const untilLogged = async (text: string) => {
      crpe.kill("SIGHUP");
      while (!crpe.log().includes(text)) await new Promise((resolve) => setTimeout(resolve, 10));
    };

    // The certificate was renewed but its key was not: crpe keeps the pair in use.
    await folder.write("tls/cert.pem", second.cert);
    await untilLogged("the renewed one cannot be used");
    assertEquals(await curl(manifest, ca), "200 1.1");
    await folder.write("tls/key.pem", second.key);
    await untilLogged("the renewed certificate is in use");
    assertEquals(await curl(manifest, renewedCa), "200 1.1");
    assertEquals(await curl(manifest, ca), "000 0");
    assertEquals(await ask(), "HTTP/1.1 200 OK");
  },
);

const MISUSES: readonly [string, (folder: string) => string[], number, string][] = [
  ["no key", (folder) => [`--tls-cert=${folder}/cert.pem`], 2, "--tls-key is missing"],
  ["no certificate", (folder) => [`--tls-key=${folder}/key.pem`], 2, "--tls-cert is missing"],
  [
    "a missing file",
    (folder) => [`--tls-cert=${folder}/none.pem`, `--tls-key=${folder}/key.pem`],
    1,
    "none.pem: there is no such file",
  ],
  [
    "a key in place of a certificate",
    (folder) => [`--tls-cert=${folder}/key.pem`, `--tls-key=${folder}/key.pem`],
    1,
    "it holds no certificate in PEM",
  ],
];
for (const [what, flags, status, words] of MISUSES) {
  peerTest(`registry does not start with ${what}, and reports why`, ["openssl"], async () => {
    await using folder = await TestFolder.create();
    await writeCertificate(folder, await makeCertificate());
    const { code, stderr } = await runCrpe([
      ...["registry", "--addr=127.0.0.1:0", "--offline", `--data=${folder.path}/data`],
      ...flags(`${folder.path}/tls`),
    ]);
    assertEquals(code, status, stderr);
    assertStringIncludes(stderr, words);
    assertEquals(stderr.trim().split("\n").length, status === 2 ? 2 : 1, stderr);
  });
}
