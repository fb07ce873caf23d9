/** Two digests. */
export const A = `sha256:${"a".repeat(64)}` as const;
export const B = `sha256:${"b".repeat(64)}` as const;

/** A KubePkg, after `change`. */
// deno-lint-ignore no-explicit-any -- a document that a test makes invalid
export function makeDocument(change: (document: any) => void = () => {}): any {
  const document = {
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name: "demo" },
    spec: { version: "0.0.1", images: { "nginx:1": "" }, manifests: {} },
  };
  change(document);
  return document;
}
