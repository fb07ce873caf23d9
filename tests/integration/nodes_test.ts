import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { makeKubePkg } from "../support/kubepkg.ts";

const ENV = { env: { HOME: "/nonexistent" } };

/** Starts a minimal agent on an address of 127.0.0.0/8; port 0 chooses a free one. */
function startAgent(
  { hostname, port, id }: { hostname: string; port: number; id: string },
  answer: () => Response,
) {
  return Deno.serve({ hostname, port, onListen() {} }, ({ method, url }) => {
    if (new URL(url).pathname !== "/kubepkgs") return new Response(null, { status: 404 });
    const headers = { "x-node-agent": `${id}; platforms=linux/arm64,linux/amd64` };
    if (method === "HEAD") return new Response(null, { headers });
    return answer();
  });
}

Deno.test("nodes finds the agents of a subnet and their installed packages", async () => {
  await using first = startAgent(
    { hostname: "127.0.0.77", port: 0, id: "pi" },
    () => Response.json([makeKubePkg({}), makeKubePkg({}, { name: "b" })]),
  );
  const { port } = first.addr;
  await using _second = startAgent(
    { hostname: "127.0.0.200", port, id: "laptop" },
    () => new Response("hostile ".repeat(10)),
  );
  await using _elsewhere = startAgent({ hostname: "127.0.1.5", port, id: "elsewhere" }, () => Response.json([]));
  await using _other = Deno.serve({ hostname: "127.0.0.90", port, onListen() {} }, () => new Response("not an agent"));

  const { code, stdout, stderr } = await runCrpe(["nodes", "--subnet=127.0.0.0/24", `--port=${port}`, "--json"], ENV);
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  const platforms = ["linux/arm64", "linux/amd64"];
  assertEquals(JSON.parse(stdout), [
    {
      id: "pi",
      platforms,
      address: `127.0.0.77:${port}`,
      packages: [{ name: "line4", version: "1.0.0" }, { name: "b", version: "1.0.0" }],
    },
    { id: "laptop", platforms, address: `127.0.0.200:${port}` },
  ]);
  const listed = await runCrpe(["nodes", "--subnet=127.0.0.64/26", `--port=${port}`], ENV);
  assertEquals(listed.stdout.split("\n").map((line) => line.split(/\s+/)), [
    ["NODE", "ADDRESS", "PLATFORMS", "PACKAGES"],
    ["pi", `127.0.0.77:${port}`, "linux/arm64,linux/amd64", "line4@1.0.0,b@1.0.0"],
    [""],
  ]);
});

Deno.test("nodes asks the given hosts, and reports those without an agent", async () => {
  await using agent = startAgent({ hostname: "127.0.0.1", port: 0, id: "pi" }, () => Response.json([]));
  const address = `127.0.0.1:${agent.addr.port}`;
  const found = await runCrpe(["nodes", address], ENV);
  assertEquals(found.code, 0, found.stderr);
  assertStringIncludes(found.stdout, address);
  const port = agent.addr.port;
  const both = await runCrpe(["nodes", "127.0.0.1", "127.0.0.3", `--port=${port}`, "--json"], ENV);
  assertEquals({ code: both.code, stderr: both.stderr }, {
    code: 1,
    stderr: `crpe: no agent at 127.0.0.3:${port}\n`,
  });
  assertEquals(JSON.parse(both.stdout).length, 1);
});

for (const host of ["bad:port", "a b", "127.0.0.1:99999", "-", "::1"]) {
  Deno.test(`nodes names the host ${JSON.stringify(host)} as it was written, and asks nothing`, async () => {
    const { code, stderr } = await runCrpe(["nodes", "--", host], ENV);
    const line = `crpe: Cannot use the host ${JSON.stringify(host)}: write HOST or HOST:PORT, such as 10.1.2.3:36060`;
    assertEquals([code, stderr.split("\n")[0]], [2, line]);
  });
}

Deno.test("nodes reports a subnet without agents", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { code, stdout, stderr } = await runCrpe(
    ["nodes", "--subnet=127.0.0.8/30", `--port=${listener.addr.port}`],
    ENV,
  );
  assertEquals([code, stdout, stderr], [0, "", "crpe: no agents found at 2 addresses\n"]);
  const asJson = await runCrpe(["nodes", "--subnet=127.0.0.8/30", `--port=${listener.addr.port}`, "--json"], ENV);
  assertEquals(JSON.parse(asJson.stdout), []);
});

Deno.test("nodes gives up on a host that never answers, and on an endless answer", async () => {
  using silent = Deno.listen({ hostname: "127.0.0.9", port: 0 });
  const { port } = silent.addr;
  await using _dripping = startAgent({ hostname: "127.0.0.10", port, id: "slow" }, () =>
    new Response(
      new ReadableStream({
        pull: async (controller) => {
          await new Promise((resolve) => setTimeout(resolve, 10));
          controller.enqueue(new TextEncoder().encode("["));
        },
      }),
    ));
  const { code, stdout } = await runCrpe(["nodes", "--subnet=127.0.0.8/30", `--port=${port}`, "--json"], ENV);
  assertEquals(code, 0);
  assertEquals(JSON.parse(stdout).map(({ id, packages }: { id: string; packages?: unknown }) => [id, packages]), [
    ["slow", undefined],
  ]);
});
