/**
 * Demonstrates the whole workflow on one machine, without a network and without root: two images in a registry that
 * requires a login → pulled through crpe → packed → imported by a second crpe with an empty data folder → pulled from it.
 *
 * With `--serve`, the pages of both machines are served at the end, until ctrl-C: on 127.0.0.1, or with `--serve=ADDRESS` on
 * another address, for a phone.
 */
import { DiskStore } from "../lib/store/disk_store.ts";
import { computeDigest } from "../lib/oci/digest.ts";
import { isIndexType, MANIFEST_MEDIA_TYPES, parseManifest, successorsOf } from "../lib/oci/manifest.ts";
import { createRegistryHandler } from "../lib/registry/handler.ts";
import { withBearerAuth } from "../tests/support/bearer_auth.ts";
import { buildImage, buildIndex, type BuiltImage } from "../tests/support/images.ts";
import { writeImage } from "../tests/support/put_image.ts";
import { runCrpe, startCrpe } from "../tests/support/crpe_process.ts";
import { serveDemo } from "./demo_serve.ts";

const LOGIN = { username: "engineer", password: "not-a-secret" };
const IMAGES: Record<string, BuiltImage> = {
  "factory/web:1.0": buildIndex(["linux/amd64", "linux/arm64", "linux/arm/v7"].map((platform) =>
    buildImage({
      platform,
      files: { "etc/web.conf": `platform ${platform}\n`, "www/index.html": "<h1>line 4 is running</h1>\n" },
    })
  )),
  "factory/plc-gateway:2.3": buildImage({
    files: [{ "etc/gateway.conf": "bus = modbus\n" }, { "data/table.csv": "1,2,3\n".repeat(20_000) }],
  }),
};

function say(text: string): void {
  console.log(text);
}

/** Pulls an image as a client does, verifying every manifest and blob. @returns the tag's digest, and the total bytes */
async function pullImage(registry: string, name: string): Promise<{ digest: string; bytes: number }> {
  const [path, tag] = name.split(":");
  let bytes = 0;
  const get = async (what: string, expected?: string): Promise<{ body: Uint8Array; type: string }> => {
    const response = await fetch(`${registry}/v2/${path}/${what}`, {
      headers: { accept: MANIFEST_MEDIA_TYPES.join() },
    });
    const body = new Uint8Array(await response.arrayBuffer());
    if (!response.ok) throw new Error(`${what}: ${response.status} ${new TextDecoder().decode(body)}`);
    const digest = computeDigest(body);
    if (expected !== undefined && digest !== expected) throw new Error(`${what} has digest ${digest}`);
    bytes += body.length;
    return { body, type: response.headers.get("content-type") ?? "" };
  };
  const walk = async (reference: string, expected?: string): Promise<string> => {
    const { body, type } = await get(`manifests/${reference}`, expected);
    for (const child of successorsOf(parseManifest(body, type))) {
      if (isIndexType(type)) await walk(child.digest, child.digest);
      else await get(`blobs/${child.digest}`, child.digest);
    }
    return computeDigest(body);
  };
  return { digest: await walk(tag ?? "latest"), bytes };
}

/** Reads `--serve` and `--serve=ADDRESS`. @returns the address to serve on, if any */
function readServe(args: readonly string[]): string | undefined {
  const [first, ...others] = args;
  if (first === undefined) return undefined;
  const known = /^--serve(?:=([0-9.]+))?$/.exec(first);
  if (others.length > 0 || known === null) {
    console.error(`Cannot use ${args.join(" ")}: only --serve and --serve=ADDRESS, such as --serve=0.0.0.0, are known`);
    Deno.exit(2);
  }
  return known[1] ?? "127.0.0.1";
}

const serveAt = readServe(Deno.args);
const root = await Deno.makeTempDir({ prefix: "crpe-demo-" });
try {
  const store = new DiskStore(`${root}/upstream`);
  let requests = 0;
  await using upstream = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    withBearerAuth((request) => {
      requests++;
      return createRegistryHandler(store)(request);
    }, LOGIN),
  );
  const host = `127.0.0.1:${upstream.addr.port}`;
  for (const [name, image] of Object.entries(IMAGES)) {
    const [path = "", tag = ""] = name.split(":");
    await writeImage(store, `registry.demo/${path}:${tag}`, image);
  }
  say(`1. a registry at ${host} has ${Object.keys(IMAGES).join(" and ")}, and requires a login (Bearer)`);

  // The login is in docker's own file, as `docker login` writes it.
  const auth = btoa(`${LOGIN.username}:${LOGIN.password}`);
  await Deno.mkdir(`${root}/docker`);
  await Deno.writeTextFile(`${root}/docker/config.json`, JSON.stringify({ auths: { "registry.demo": { auth } } }));
  const env = { HOME: root, DOCKER_CONFIG: `${root}/docker` };
  const upstreamFlag = `--upstream=registry.demo=http://${host}`;
  const [office, site] = [`${root}/office`, `${root}/site`];

  const digests = new Map<string, string>();
  {
    await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", `--data=${office}`, upstreamFlag], { env });
    say(`2. crpe registry at ${crpe.url} pulls through:`);
    for (const name of Object.keys(IMAGES)) {
      const { digest, bytes } = await pullImage(crpe.url, `registry.demo/${name}`);
      digests.set(name, digest);
      say(`   registry.demo/${name}  ${bytes} bytes  ${digest}`);
    }
  }
  await upstream.shutdown();
  say(`3. that took ${requests} requests to the registry, which is now shut down`);

  const kubepkg = {
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name: "line4" },
    spec: {
      version: "1.0.0",
      images: Object.fromEntries(Object.keys(IMAGES).map((name) => [`registry.demo/${name}`, ""])),
      manifests: {
        "web.default.configmap": {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: "web", namespace: "default" },
          data: { line: "4" },
        },
      },
    },
  };
  await Deno.writeTextFile(`${root}/line4.json`, JSON.stringify(kubepkg));
  const bundle = `${root}/line4@1.0.0.tgz`;
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await runCrpe(args, { env });
    if (code !== 0) throw new Error(`crpe ${args[0]} ended with ${code}: ${stderr}`);
    return stdout;
  };
  await run("pack", `${root}/line4.json`, "-o", bundle, `--data=${office}`, "--offline");
  say(
    `4. crpe pack made ${bundle}, ${(await Deno.stat(bundle)).size} bytes: the platforms linux/amd64 and linux/arm64`,
  );

  say("5. crpe import on a second machine, with an empty data folder:");
  await Deno.mkdir(`${root}/manifests`);
  const imported = await run("import", bundle, `--data=${site}`, `--manifests-dir=${root}/manifests`);
  say(imported.trimEnd().replaceAll(/^/gm, "   "));

  {
    await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", `--data=${site}`, "--offline"], { env });
    say(`6. crpe registry --offline at ${crpe.url} serves it:`);
    for (const [name, expected] of digests) {
      const response = await fetch(`${crpe.url}/v2/registry.demo/${name.replace(":", "/manifests/")}`);
      const digest = computeDigest(new Uint8Array(await response.arrayBuffer()));
      if (digest !== expected) throw new Error(`${name} has digest ${digest}, expected ${expected}`);
      say(`   registry.demo/${name}  ${digest}  same digest`);
    }
  }
  say("All digests are equal on both machines.");
  if (serveAt === undefined) say("The folder of the demonstration is removed.");

  if (serveAt !== undefined) {
    const { "web.default.configmap": web } = kubepkg.spec.manifests;
    const manifests = {
      "web.default.configmap": { ...web, data: { line: "4", shift: "night" } },
      "alarms.default.configmap": { ...web, metadata: { ...web.metadata, name: "alarms" }, data: { horn: "on" } },
    };
    const next = { ...kubepkg, spec: { ...kubepkg.spec, version: "1.1.0", manifests } };
    await Deno.writeTextFile(`${root}/next.json`, JSON.stringify(next));
    await run("pack", `${root}/next.json`, "--outbox", `--data=${office}`, "--offline");
    await serveDemo({ env, office, site, manifestsDir: `${root}/manifests`, hostname: serveAt, say });
    say("\nStopped; the folder of the demonstration is removed.");
  }
} finally {
  await Deno.remove(root, { recursive: true });
}
