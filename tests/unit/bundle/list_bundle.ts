import { makeBlob } from "../../support/content.ts";
import { linesOf } from "../install/import_support.ts";
import { fileOf, makeImage, makeKubePkg, type TestFile, type TestImage } from "./bundle_support.ts";

// What the packer of octohelm/kubepkg writes: a plain tar; each line of `status.digests` as a blob; then, for each package,
// `index.json` and `oci-layout`.
const SHARED = makeBlob(900);
export const [A, B] = [makeImage("linux/amd64", [SHARED]), makeImage("linux/arm64", [SHARED, makeBlob(50)])];
export const PACKAGE_A = packageOf("a", A);
export const PACKAGE_B = packageOf("b", B);
export const LIST = { apiVersion: "octohelm.tech/v1alpha1", kind: "KubePkgList", items: [PACKAGE_A, PACKAGE_B] };
export const LAYOUT: TestFile[] = [["index.json", '{"schemaVersion":2,"manifests":[]}\n'], ["oci-layout", "{}\n"]];

/** A package of one image, `reg.test/NAME:1`, that lists its digests. */
export function packageOf(name: string, image: TestImage, version = "1.0.0") {
  const reference = `reg.test/${name}:1`;
  const kubepkg = makeKubePkg({ [reference]: image.root.descriptor.digest }, version, {
    status: { digests: linesOf(image, `reg.test/${name}`) },
  });
  return { ...kubepkg, metadata: { ...kubepkg.metadata, name } };
}

function blobsOf(image: TestImage): TestFile[] {
  return [...image.blobs, ...image.manifests].map(fileOf);
}

/** A bundle of two packages that share a layer. */
export const LIST_FILES: readonly TestFile[] = listFiles(LIST.items);

/** The files of a bundle with the content of both images. @param items the packages */
export function listFiles(items: readonly unknown[]): TestFile[] {
  return [
    ["kubepkg.json", JSON.stringify({ ...LIST, items })],
    ...blobsOf(A),
    ...LAYOUT,
    ...blobsOf(B),
    ...LAYOUT,
  ];
}
