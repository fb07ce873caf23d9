import { modelNames } from "../../lib/delta/models/all.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { makeCertificate } from "../support/certificate.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

Deno.test("inventory prints the digests of a store as JSON, with and without --json", async () => {
  await using fixture = await createPackFixture({ "registry.test/app:1": buildImage() });
  const { code, stdout, stderr } = await fixture.crpe("inventory", "--data=source");
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  const { digests, models } = JSON.parse(stdout);
  assert(digests.length >= 3);
  assertEquals(models, modelNames());
  assertEquals(stdout, `${JSON.stringify({ digests: [...digests].sort(), models }, undefined, 2)}\n`);
  for (const digest of digests) {
    assertEquals(await fixture.store.statBlob("registry.test/app", digest) !== undefined, true);
  }
  assertEquals((await fixture.crpe("inventory", "--data=source", "--json")).stdout, stdout);
  assertEquals(JSON.parse((await fixture.crpe("inventory", "--data=nowhere")).stdout), { digests: [], models });
});

const digests = [computeDigest("a"), computeDigest("b")];
const PRINTED = `${JSON.stringify({ digests: [...digests].sort() }, undefined, 2)}\n`;
const LONG = `{"digests": [${`"${digests[0]}",\n`.repeat(1000)}`;
const ANSWERS: Readonly<Record<string, () => Response>> = {
  "/inventory": () => Response.json({ digests }),
  "/behind/proxy/inventory": () => Response.json({ digests }),
  "/portal/inventory": () => new Response("<html>please log in</html>"),
  "/moved/inventory": () => new Response(null, { status: 302, headers: { Location: "/inventory" } }),
  "/broken/inventory": () => new Response("", { status: 500 }),
  "/endless/inventory": () => {
    const chunk = new TextEncoder().encode(LONG);
    return new Response(new ReadableStream({ pull: (controller) => controller.enqueue(chunk) }));
  },
};

function answer(request: Request): Response {
  return ANSWERS[new URL(request.url).pathname]?.() ?? new Response("", { status: 404 });
}

async function ask(to: string, ...flags: string[]) {
  return await runCrpe(["inventory", "--to", to, ...flags], { env: { HOME: "/nonexistent" } });
}

Deno.test("inventory --to reads the inventory of an agent, and reports a wrong answer", async () => {
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, answer);
  const url = `http://127.0.0.1:${server.addr.port}`;
  for (const to of [url, `${url}/`, `${url}/behind/proxy`]) {
    const { code, stdout, stderr } = await ask(to);
    assertEquals({ code, stderr, stdout }, {
      code: 0,
      stderr: "",
      stdout: PRINTED,
    });
  }
  for (
    const [to, status, message] of [
      [`${url}/portal`, 4, "/portal/inventory: line 1 does not begin with sha256"],
      [`${url}/moved`, 1, "/moved/inventory: it answered 302 Found"],
      [`${url}/broken`, 1, "/broken/inventory: it answered 500"],
      [`${url}/other`, 1, "it answered 404 Not Found; is it a crpe agent?"],
      [`${url}/endless`, 4, "/endless/inventory: it has more than 67108864 bytes"],
      ["http://127.0.0.1:9", 1, "Cannot read http://127.0.0.1:9/inventory: "],
      ["node1:36060", 2, "write an agent's URL, such as http://node1:36060"],
      ["nowhere", 2, "write an agent's URL"],
      [url.replace("//", "//me:secret@"), 2, "Cannot use --to with a user or password"],
    ] as const
  ) {
    const { code, stdout, stderr } = await ask(to);
    assertEquals({ code, stdout }, { code: status, stdout: "" }, stderr);
    assertStringIncludes(stderr, message);
    assert(!stderr.includes("secret"), stderr);
    assertEquals(stderr.trim().split("\n").length, status === 2 ? 2 : 1);
  }
  assertEquals((await ask(url, "--data=x")).code, 2);
});

peerTest("[20] inventory --to trusts an https agent only with its authority in --ca-file", ["openssl"], async () => {
  await using folder = await TestFolder.create();
  const { cert, key } = await makeCertificate();
  const caFile = await folder.write("ca.pem", cert);
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, cert, key, onListen() {} }, answer);
  const url = `https://127.0.0.1:${server.addr.port}`;
  assertEquals((await ask(url, `--ca-file=${caFile}`)).stdout, PRINTED);
  const refused = await ask(url);
  assertEquals({ code: refused.code, stdout: refused.stdout }, { code: 1, stdout: "" });
  // Deno up to 2.7 reports all TLS failures with the same message. The advice for an upstream would be `HOST=FILE`.
  assertMatch(refused.stderr, /authority(?:\);|,) name its CA file with --ca-file(?:\n|; )/);
  assertStringIncludes((await ask(url, "--ca-file=missing.pem")).stderr, "missing.pem: there is no such file");
});
