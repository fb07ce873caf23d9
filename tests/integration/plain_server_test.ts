import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeCertificate } from "../support/certificate.ts";
import { denoFolder } from "../support/crpe_process.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const PROGRAM = new URL("../support/without_internals.ts", import.meta.url).pathname;
const PROJECT = new URL("../../deno.json", import.meta.url).pathname;

for (const scheme of ["http", "https"]) {
  const name = `crpe registry serves ${scheme} where Deno cannot serve single connections, and warns`;
  peerTest(name, scheme === "https" ? ["openssl"] : [], async () => {
    await using folder = await TestFolder.create();
    const flags = ["--addr=127.0.0.1:0", `--data=${folder.path}/data`, "--offline"];
    const caCerts: string[] = [];
    if (scheme === "https") {
      const { cert, key } = await makeCertificate();
      flags.push(
        `--tls-cert=${await folder.write("cert.pem", cert)}`,
        `--tls-key=${await folder.write("key.pem", key)}`,
      );
      caCerts.push(cert);
    }
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "-A", `--config=${PROJECT}`, PROGRAM, "registry", ...flags],
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "", DENO_DIR: denoFolder(), NO_COLOR: "1", HOME: folder.path },
      stdout: "null",
      stderr: "piped",
    }).spawn();
    let log = "";
    let url: string | undefined;
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      log += text;
      if (url !== undefined) continue;
      url = /\bon (https?:\/\/127\.0\.0\.1:\d+),/.exec(log)?.[1];
      if (url === undefined) continue;
      using client = Deno.createHttpClient({ caCerts });
      const ask = async (path: string, headers = {}) => {
        const response = await fetch(`${url}${path}`, { client, headers });
        return [response.status, await response.text()] as const;
      };
      assertEquals(await ask("/healthz"), [200, '{"status":"ok"}']);
      assertEquals((await ask("/v2/none/manifests/1"))[0], 404);
      assertStringIncludes(
        (await ask("/metrics"))[1],
        'crpe_requests_total{kind="manifest",method="GET",status="404"} 1',
      );
      child.kill("SIGTERM");
    }
    assertEquals((await child.status).code, 0, log);
    assertStringIncludes(log, "connections have no limits, and a renewed certificate needs a restart");
    assertStringIncludes(log, "GET /v2/none/manifests/1 404");
    assertStringIncludes(log, `${scheme}://127.0.0.1`);
  });
}
