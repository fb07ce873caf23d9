import { addMissingImages } from "../../../lib/kubepkg/compare_images.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { reviewPackage } from "../../../lib/kubepkg/review_package.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeDocument } from "./kubepkg_document.ts";

const make = (manifests: object, images: object = { "nginx:1": "" }) =>
  parseKubePkg(makeDocument((it) => Object.assign(it.spec, { manifests, images })));

const POD = { apiVersion: "v1", kind: "Pod", metadata: { name: "p" }, spec: { containers: [{ image: "nginx:1" }] } };

Deno.test("[83] reviewPackage() has no warning for a good package", () => {
  const kubepkg = make({ p: POD });
  assertEquals(reviewPackage(kubepkg), { kubepkg, mismatches: [], warnings: [] });
});

Deno.test("[83] reviewPackage() warns of fields of a live cluster, objects that no cluster takes, and unlisted images", () => {
  const kubepkg = make({
    live: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", uid: "1" }, data: { port: 80 } },
    p: { ...POD, spec: { containers: [{ image: "reg.test/team/app:1" }] } },
  });
  const review = reviewPackage(kubepkg);
  assertEquals(review.warnings, [
    "spec.manifests.live: removed what only a live cluster sets: metadata.uid",
    "ConfigMap/default/a: data.port is the number 80, and only text is allowed; put the value in quotes",
    "reg.test/team/app:1 is not in spec.images: the site will not have it (used by Pod/default/p, spec.containers[0].image)",
  ]);
  assertEquals(reviewPackage(addMissingImages(review.kubepkg, review.mismatches)).warnings.length, 1);
});

Deno.test("[83] reviewPackage() warns of an empty package", () => {
  assertEquals(reviewPackage(make({}, {})).warnings, ["the package is empty: it has no manifests and no images"]);
});
