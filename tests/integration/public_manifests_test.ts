import { isJsonObject } from "../../lib/oci/json.ts";
import { readDocuments } from "../../lib/kubepkg/read_kubepkg.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { buildImage } from "../support/images.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

type Objects = Record<string, Record<string, unknown>>;

const image = buildImage();
const { digest } = image.root;
const KNATIVE = "gcr.io/knative-releases/knative.dev/serving/cmd";

// Files modelled on what these projects publish, and the images that they need.
const PUBLIC: readonly [name: string, namespace: string, images: string[]][] = [
  ["argo-cd", "argocd", ["docker.io/library/redis:7.0.15-alpine", "quay.io/argoproj/argocd:v2.13.1"]],
  ["cert-manager", "cert-manager", [
    "quay.io/jetstack/cert-manager-acmesolver:v1.16.2",
    "quay.io/jetstack/cert-manager-controller:v1.16.2",
    "quay.io/jetstack/cert-manager-startupapicheck:v1.16.2",
  ]],
  ["knative", "knative-serving", [
    `${KNATIVE}/activator@${digest}`,
    `${KNATIVE}/queue@${digest}`,
    "ghcr.io/knative/helloworld-go:latest",
  ]],
  ["kube-prometheus", "monitoring", [
    "quay.io/brancz/kube-rbac-proxy:v0.18.1",
    "quay.io/prometheus-operator/prometheus-config-reloader:v0.79.0",
    "quay.io/prometheus-operator/prometheus-operator:v0.79.0",
    "quay.io/prometheus/node-exporter:v1.8.2",
    "quay.io/prometheus/prometheus:v3.0.1",
  ]],
  ["longhorn", "longhorn-system", [
    "docker.io/longhornio/csi-attacher:v4.7.0",
    "docker.io/longhornio/csi-provisioner:v4.0.1-20241007",
    "docker.io/longhornio/longhorn-engine:v1.7.2",
    "docker.io/longhornio/longhorn-instance-manager:v1.7.2",
    "docker.io/longhornio/longhorn-manager:v1.7.2",
  ]],
  ["metallb", "metallb-system", ["quay.io/metallb/controller:v0.14.9", "quay.io/metallb/speaker:v0.14.9"]],
];

async function readFixture(name: string): Promise<string> {
  const text = await Deno.readTextFile(new URL(`../fixtures/manifests/${name}.yaml`, import.meta.url));
  return text.replaceAll(/@sha256:[0-9a-f]{64}/g, `@${digest}`);
}

function readObjects(text: string): unknown[] {
  return readDocuments(new TextEncoder().encode(text), "a.yaml");
}

/** The objects of documents by kind, namespace and name, lists unpacked, as a cluster would store them. */
function listObjects(documents: readonly unknown[], namespace: string): Objects {
  const objects: Objects = {};
  for (const document of documents as Record<string, unknown>[]) {
    const { kind, apiVersion, items } = document as { kind: string; apiVersion: string; items?: unknown[] };
    for (const item of items ?? [document]) {
      const given = { apiVersion, kind: kind.replace(/List$/, ""), ...item as Record<string, unknown> };
      const { status: _, ...rest }: Record<string, unknown> = given;
      const { creationTimestamp: __, ...metadata } = rest.metadata as Record<string, unknown>;
      const key = `${rest.kind}/${metadata.namespace ?? namespace}/${metadata.name}`;
      assertEquals(objects[key], undefined, `${key} is there once`);
      objects[key] = { ...rest, metadata: { namespace, ...metadata } };
    }
  }
  return objects;
}

const fixture = await createPackFixture(
  Object.fromEntries(
    PUBLIC.flatMap(([, , images]) => images.map((name) => [name.replace(/@.*/, ":any"), image])),
  ),
);

for (const [name, namespace, images] of PUBLIC) {
  Deno.test(`[83][84] the manifests of ${name} are packed with their images, and handed over as they are`, async () => {
    const { folder, crpe } = fixture;
    const text = await readFixture(name);
    await folder.write(`${name}.yaml`, text);
    await folder.write(`${name}-out/keep`, "");
    const flags = [
      "--name",
      name,
      "--version=1.0.0",
      "--namespace",
      namespace,
      "--data=source",
      "--offline",
      "--json",
    ];
    const packed = await crpe("pack", `${name}.yaml`, ...flags);
    assertEquals(packed.code, 0, packed.stderr);
    const { addedImages, warnings, images: carried } = JSON.parse(packed.stdout);
    assertEquals(addedImages.toSorted(), images);
    assertEquals(warnings, []);
    assertEquals(carried.map(({ digest }: { digest: string }) => digest), images.map(() => digest));

    const bundle = `${name}@1.0.0.tgz`;
    const imported = await crpe("import", bundle, `--data=${name}`, `--manifests-dir=${name}-out`);
    assertEquals(imported.code, 0, imported.stderr);
    const written = readObjects(await Deno.readTextFile(`${folder.path}/${name}-out/${name}.yaml`));
    const expected = listObjects(readObjects(text), namespace);
    const found = listObjects(written, namespace);
    // The namespace is added where the manifests do not bring it.
    const added = `Namespace/${namespace}/${namespace}`;
    if (expected[added] === undefined) delete found[added];
    assertEquals(found, expected);
    assert(written.every(isJsonObject));
  });
}

Deno.test("[83] a folder of manifests is one package", async () => {
  const { folder, crpe } = fixture;
  for (const [name] of PUBLIC) await folder.write(`all/${name}/${name}.yml`, await readFixture(name));
  await folder.write("all/README.md", "# not a manifest");
  await folder.write("all/.git/config.yaml", "not: [yaml");
  const flags = ["--name=all", "--version=2.0.0", "--data=source", "--offline", "--json"];
  const { code, stdout, stderr } = await crpe("pack", "all", ...flags);
  assertEquals(code, 0, stderr);
  assertEquals(
    JSON.parse(stdout).images.map(({ reference }: { reference: string }) => reference),
    PUBLIC.flatMap(([, , images]) => images).sort(),
  );
});

globalThis.addEventListener("unload", () => Deno.removeSync(fixture.folder.path, { recursive: true }));
