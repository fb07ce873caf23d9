import { DEFAULT_NAMESPACE, type PackageId } from "../../lib/kubepkg/package_id.ts";

/** The identity of a package. */
export function idOf(name: string, namespace: string = DEFAULT_NAMESPACE): PackageId {
  return { namespace, name };
}

/** Makes a KubePkg with a ConfigMap and these images: name → digest, or "" for none. */
export function makeKubePkg(
  images: Readonly<Record<string, string>>,
  { name = "line4", namespace, version = "1.0.0", data = { line: "4" } }: {
    name?: string;
    namespace?: string;
    version?: string;
    data?: Record<string, string>;
  } = {},
) {
  return {
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
    spec: {
      version,
      images,
      manifests: {
        "web.default.configmap": {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: "web", namespace: "default" },
          data,
        },
      },
    },
  };
}
