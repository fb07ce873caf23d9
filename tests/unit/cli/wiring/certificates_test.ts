import { readHostCertificates, readSystemCertificates } from "../../../../lib/cli/wiring/certificates.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { createTestIo } from "../../../support/test_io.ts";
import { UsageError } from "../../../../lib/oci/error.ts";

const pem = (name: string) => `-----BEGIN CERTIFICATE-----\n${name}\n-----END CERTIFICATE-----\n`;

Deno.test("readSystemCertificates() reads the first bundle that exists, or the one of $SSL_CERT_FILE", async () => {
  await using folder = await TestFolder.create();
  const [first, second] = [await folder.write("b.pem", pem("b")), await folder.write("c.pem", pem("c"))];
  const empty = await folder.write("empty.pem", "");
  const bundles = [`${folder.path}/missing.pem`, empty, first, second];
  assertEquals(readSystemCertificates(createTestIo(), bundles), [pem("b")]);
  assertEquals(readSystemCertificates(createTestIo({ env: { SSL_CERT_FILE: second } }), bundles), [pem("c")]);
  assertEquals(readSystemCertificates(createTestIo(), [bundles[0]!]), []);
});

Deno.test("readHostCertificates() reads docker's and podman's folders of a host beside the configuration", async () => {
  await using folder = await TestFolder.create();
  await folder.write("docker/reg.test:5000/ca.crt", pem("docker"));
  await folder.write("docker/reg.test:5000/client.cert", pem("cert"));
  await folder.write("docker/reg.test:5000/client.key", "key");
  await folder.write("podman/reg.test:5000/other.crt", pem("podman"));
  const ca = await folder.write("ca.pem", pem("configured"));
  const folders = ["podman", "docker", "missing"].map((name) => `${folder.path}/${name}`);
  assertEquals(await readHostCertificates("reg.test:5000", { "ca-file": ca }, folders), {
    caCerts: [pem("configured"), pem("podman"), pem("docker")],
    clientCertificate: { cert: pem("cert"), key: "key" },
  });
  assertEquals(await readHostCertificates("reg.test", undefined, folders), {
    caCerts: [],
    clientCertificate: undefined,
  });
  const cert = await folder.write("c.pem", pem("own"));
  const key = await folder.write("k.pem", "own key");
  const { clientCertificate } = await readHostCertificates(
    "reg.test:5000",
    { "client-cert": cert, "client-key": key },
    folders,
  );
  assertEquals(clientCertificate, { cert: pem("own"), key: "own key" });
});

Deno.test("readHostCertificates() refuses a certificate without its key, and names a missing file", async () => {
  await assertRejects(() => readHostCertificates("a", { "client-cert": "c.pem" }, []), UsageError, "together");
  await assertRejects(() => readHostCertificates("a", { "ca-file": "/no/such" }, []), Error, "(hosts.a.ca-file)");
  await using folder = await TestFolder.create();
  const key = await folder.write("key.pem", "-----BEGIN PRIVATE KEY-----");
  await assertRejects(() => readHostCertificates("a", { "ca-file": key }, []), UsageError, "no certificate in PEM");
});
