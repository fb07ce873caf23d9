import type { KubeObject } from "../../../lib/kubepkg/kubepkg.ts";
import { renameImages } from "../../../lib/kubepkg/rename_images.ts";
import type { Reference } from "../../../lib/oci/reference.ts";
import { assertEquals } from "../../support/assert.ts";

const OLD = `sha256:${"a".repeat(64)}` as const;
const NEW = `sha256:${"b".repeat(64)}` as const;

/** Puts `lan:5000/m` in front of every image of quay.io and docker.io, and replaces the digest. */
function rename({ host, path, tag, digest }: Reference): Reference | undefined {
  if (host === "ghcr.io") return undefined;
  return {
    host: "lan:5000",
    path: `m/${path}`,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest: NEW }),
  };
}

const pod = (container: Record<string, unknown>, spec: Record<string, unknown> = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "a" },
  spec: { containers: [{ name: "c", ...container }], ...spec },
});
const chart = (spec: Record<string, unknown>) => ({
  apiVersion: "helm.cattle.io/v1",
  kind: "HelmChart",
  metadata: { name: "a" },
  spec,
});

const ROWS: readonly { what: string; from: KubeObject; to: KubeObject; left?: readonly string[] }[] = [
  { what: "a short name", from: pod({ image: "nginx" }), to: pod({ image: "lan:5000/m/library/nginx:latest" }) },
  {
    what: "a name with tag and digest",
    from: pod({ image: `quay.io/a/b:1@${OLD}` }),
    to: pod({ image: `lan:5000/m/a/b:1@${NEW}` }),
  },
  { what: "an image that keeps its name", from: pod({ image: "ghcr.io/a/b:1" }), to: pod({ image: "ghcr.io/a/b:1" }) },
  {
    what: "an image whose tag is the version of a k3s upgrade",
    from: {
      apiVersion: "upgrade.cattle.io/v1",
      kind: "Plan",
      metadata: { name: "a" },
      spec: { version: "v1.34.1+k3s1", upgrade: { image: "rancher/k3s-upgrade" } },
    },
    to: {
      apiVersion: "upgrade.cattle.io/v1",
      kind: "Plan",
      metadata: { name: "a" },
      spec: { version: "v1.34.1+k3s1", upgrade: { image: "lan:5000/m/rancher/k3s-upgrade:v1.34.1-k3s1" } },
    },
  },
  {
    what: "images in an object that a ConfigMap holds",
    from: {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "a" },
      data: {
        "pod.yaml":
          "apiVersion: v1\nkind: Pod\nspec: # of nginx\n  containers:\n  - image: quay.io/a/b:1\n  - image: nginx\n",
      },
    },
    to: {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "a" },
      data: {
        "pod.yaml":
          "apiVersion: v1\nkind: Pod\nspec: # of nginx\n  containers:\n  - image: lan:5000/m/a/b:1\n  - image: nginx\n",
      },
    },
    left: ["docker.io/library/nginx:latest"],
  },
  {
    what: "arguments, a flag and its value, variables, lists of versions",
    from: pod({
      image: "a",
      args: ["--helper-image=quay.io/a/b:1", "--other-image", "quay.io/a/c:1", "--v=2"],
      env: [
        { name: "RELATED_IMAGE_X", value: "quay.io/a/b:1" },
        { name: "KAFKA_IMAGES", value: "3.8=quay.io/a/k:3.8\n3.9=quay.io/a/k:3.9\n" },
      ],
    }),
    to: pod({
      image: "lan:5000/m/library/a:latest",
      args: ["--helper-image=lan:5000/m/a/b:1", "--other-image", "lan:5000/m/a/c:1", "--v=2"],
      env: [
        { name: "RELATED_IMAGE_X", value: "lan:5000/m/a/b:1" },
        { name: "KAFKA_IMAGES", value: "3.8=lan:5000/m/a/k:3.8\n3.9=lan:5000/m/a/k:3.9\n" },
      ],
    }),
  },
  {
    what: "a volume with a scheme",
    from: pod({ image: "a:1" }, { volumes: [{ name: "v", containerDisk: { image: "docker://quay.io/a/disk:1" } }] }),
    to: pod({ image: "lan:5000/m/library/a:1" }, {
      volumes: [{ name: "v", containerDisk: { image: "docker://lan:5000/m/a/disk:1" } }],
    }),
  },
  {
    what: "fields of values: with a registry, and without",
    from: chart({
      values: {
        image: { registry: "quay.io", repository: "a/b", tag: "1", digest: OLD },
        proxy: { image: { repository: "quay.io/a/p", tag: 2 } },
      },
    }),
    to: chart({
      values: {
        image: { registry: "lan:5000", repository: "m/a/b", tag: "1", digest: NEW },
        proxy: { image: { repository: "lan:5000/m/a/p", tag: 2 } },
      },
    }),
  },
  {
    what: "values as a text: complete names, but not fields",
    from: chart({
      valuesContent: "image: quay.io/a/b:1\nproxy:\n  image:\n    repository: quay.io/a/p\n    tag: v2\n",
    }),
    to: chart({
      valuesContent: "image: lan:5000/m/a/b:1\nproxy:\n  image:\n    repository: quay.io/a/p\n    tag: v2\n",
    }),
    left: ["quay.io/a/p:v2"],
  },
];

for (const { what, from, to, left = [] } of ROWS) {
  Deno.test(`renameImages: ${what}`, () => {
    const before = structuredClone(from);
    const renamed = renameImages(from, rename);
    assertEquals(renamed.object, to);
    assertEquals(renamed.left.map(({ image }) => image), left);
    assertEquals(from, before);
  });
}

Deno.test("renameImages does not follow a new name that is an old one too", () => {
  const swap = (reference: Reference) => {
    return { ...reference, path: reference.path === "a/b" ? "a/c" : "a/b" };
  };
  const from = pod({ image: "quay.io/a/b:1" }, { initContainers: [{ name: "i", image: "quay.io/a/c:1" }] });
  const { spec } = renameImages(from, swap).object as unknown as ReturnType<typeof pod>;
  assertEquals(
    [spec.containers[0], (spec as Record<string, unknown>).initContainers],
    [{ name: "c", image: "quay.io/a/c:1" }, [{ name: "i", image: "quay.io/a/b:1" }]],
  );
});
