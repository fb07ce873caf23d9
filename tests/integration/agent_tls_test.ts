import { createAgentFixture } from "../support/agent_fixture.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeCertificate } from "../support/certificate.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

const FINGERPRINT = /also on (https:\S+), with the certificate (sha256:[0-9a-f]{64})/;

peerTest(
  "[107] an agent has TLS from its first start, and its certificate is pinned by push and packages",
  ["openssl"],
  async () => {
    await using site = await createAgentFixture();
    const { file } = await site.pack("1.0.0", 100_000);
    await site.pack("1.1.0", 100_000);
    const pem = "site/kubepkg/.tls.pem";
    const start = async (...flags: string[]) => {
      const agent = await site.startAgent(...flags);
      const [, url = "", fingerprint = ""] = FINGERPRINT.exec(agent.log()) ?? [];
      return { agent, url, fingerprint };
    };
    const first = await start();
    const { url, fingerprint } = first;
    const other = `sha256:${"0".repeat(64)}`;
    {
      await using agent = first.agent;
      const push = (...flags: string[]) => site.push(file, url, "--data=source", "--no-delta", ...flags).finished;
      assertStringIncludes(
        agent.log(),
        `--to ${url.replace("127.0.0.1", "127.0.0.1")} --token-file FILE --fingerprint`,
      );
      assertEquals((await Deno.stat(`${site.folder.path}/site/kubepkg/.tls.pem`)).mode! & 0o777, 0o600);
      const head = (await fetch(`${agent.url}/kubepkgs`, { method: "HEAD" })).headers.get("x-node-agent") ?? "";
      assertStringIncludes(head, `; tls=${new URL(url).port}; fingerprint=${fingerprint}`);

      const unknown = await push();
      assertEquals(unknown.code, 3);
      assertStringIncludes(unknown.stderr, `--fingerprint ${fingerprint}`);
      assertEquals(unknown.stderr.trim().split("\n").length, 1);
      const wrong = await push(`--fingerprint=${other}`);
      assertEquals(wrong.code, 3);
      assertStringIncludes(wrong.stderr, `its certificate is ${fingerprint}, and not ${other}`);
      assertEquals((await push("--fingerprint=12:34")).code, 2);
      assertEquals((await site.push(file, agent.url, `--fingerprint=${fingerprint}`).finished).code, 2);

      const hex = fingerprint.slice(7).toUpperCase().replace(/..(?=.)/g, "$&:");
      const pinned = await push(`--fingerprint=${hex}`);
      assertEquals(pinned.code, 0, pinned.stderr);
      assertStringIncludes(pinned.stdout, ` at ${url}\n`);
      const known = await Deno.readTextFile(`${site.folder.path}/source/kubepkg/.known-agents`);
      assertEquals(known, `${new URL(url).host} ${fingerprint}\n`);
      // It is remembered, also for deltas, which ask for the inventory.
      const second = await site.push(`${site.folder.path}/1.1.0.tgz`, url, "--data=source").finished;
      assertEquals([second.code, second.stderr.includes("warning")], [0, false], second.stderr);
      // The inventory and the status need no token, and are those of the same agent.
      const unpinned = await site.crpe("inventory", `--to=${url}`);
      assertEquals(
        [unpinned.code, unpinned.stderr.includes(`--fingerprint ${fingerprint}`)],
        [3, true],
        unpinned.stderr,
      );
      assertEquals((await site.crpe("status", url, `--fingerprint=${other}`)).code, 3);
      const asked = await site.crpe("status", url, `--fingerprint=${fingerprint}`, "--json");
      assertEquals([asked.code, JSON.parse(asked.stdout).url], [0, url], asked.stderr);
      // It was remembered in the default data folder.
      const inventory = await site.crpe("inventory", `--to=${url}`);
      assertEquals([inventory.code, JSON.parse(inventory.stdout).digests.length > 0], [0, true], inventory.stderr);

      // The settings of other commands do not matter.
      const env = { HOME: site.folder.path, CRPE_STORE: "s3://127.0.0.1:1/none" };
      for (
        const known of [[`--fingerprint=${fingerprint}`], ["--data=source"], ["--data=source", `--ca-file=${pem}`]]
      ) {
        const listed = await runCrpe(["packages", `--to=${url}`, ...known], { cwd: site.folder.path, env });
        assertEquals([listed.code, listed.stdout.includes("1.1.0")], [0, true], listed.stderr);
      }

      // With openssl, as with any other program.
      await using dialog = new Deno.Command("openssl", {
        args: ["s_client", "-connect", new URL(url).host, "-verify_return_error", "-CAfile", "site/kubepkg/.tls.pem"],
        cwd: site.folder.path,
        stdin: "null",
        stdout: "piped",
        stderr: "null",
      }).spawn();
      assertStringIncludes(new TextDecoder().decode((await dialog.output()).stdout), "Verify return code: 0 (ok)");
    }
    // The same certificate after a restart, also at a port that was chosen; with another one, the sender is warned.
    const { port } = new URL(url);
    {
      const again = await start(`--tls-addr=127.0.0.1:${port}`);
      await using _agent = again.agent;
      assertEquals([again.url, again.fingerprint], [url, fingerprint]);
    }
    await Deno.remove(`${site.folder.path}/site/kubepkg/.tls.pem`);
    {
      const changed = await start(`--tls-addr=127.0.0.1:${port}`);
      await using agent = changed.agent;
      assert(changed.fingerprint !== fingerprint, "a new certificate");
      const refused = await site.push(file, url, "--data=source", "--no-delta").finished;
      assertEquals(refused.code, 3);
      assertStringIncludes(refused.stderr, `its certificate is ${changed.fingerprint}, and not ${fingerprint}`);
      assertStringIncludes(refused.stderr, "source/kubepkg/.known-agents");
      const nodes = await site.crpe("nodes", new URL(agent.url).host, "--data=source", "--json");
      assertStringIncludes(nodes.stderr, `the certificate of 127.0.0.1:${port} is ${changed.fingerprint}`);
      assertEquals(JSON.parse(nodes.stdout)[0].secure, { port: Number(port), fingerprint: changed.fingerprint });
    }
    {
      await using agent = await site.startAgent("--tls-addr=off");
      assertEquals(FINGERPRINT.test(agent.log()), false);
      assertEquals(
        (await fetch(`${agent.url}/kubepkgs`, { method: "HEAD" })).headers.get("x-node-agent")?.includes("tls="),
        false,
      );
      // What is pinned is not reached in a weaker way.
      const gone = await site.push(file, url, "--data=source", "--no-delta", "--insecure-http").finished;
      assertEquals(gone.code, 1);
      assertStringIncludes(gone.stderr, "its certificate is pinned");
    }
  },
);

peerTest(
  "[107] an agent with a certificate of an authority is reached as the system trusts it",
  ["openssl"],
  async () => {
    await using folder = await TestFolder.create();
    const { cert, key } = await makeCertificate();
    await Deno.writeTextFile(`${folder.path}/ca.pem`, cert);
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, cert, key, onListen() {} },
      () => Response.json([]),
    );
    const url = `https://127.0.0.1:${server.addr.port}`;
    const TABLE: readonly [flags: string[], env: Record<string, string>, code: number, stderr: string][] = [
      [[], { SSL_CERT_FILE: "ca.pem" }, 0, ""],
      [["--ca-file=ca.pem"], {}, 0, ""],
      [["--ca-file=ca.pem", "--data=source"], {}, 0, ""],
      [[], {}, 1, "certificate"],
    ];
    for (const [flags, env, code, stderr] of TABLE) {
      const options = { cwd: folder.path, env: { HOME: folder.path, ...env } };
      const listed = await runCrpe(["packages", `--to=${url}`, ...flags], options);
      assertEquals(listed.code, code, listed.stderr);
      assertStringIncludes(listed.stderr, stderr);
      assert(!listed.stderr.includes("permission"), listed.stderr);
    }
  },
);
