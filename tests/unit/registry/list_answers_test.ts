import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { UNKNOWN_DIGEST } from "../../support/content.ts";
import { artifact, image, noBody, REPO, testAnswers } from "../../support/registry_fixture.ts";

testAnswers([
  {
    what: "the tags",
    path: "/v2/app/tags/list",
    status: 200,
    has: { link: undefined },
    body: { name: "app", tags: ["1.0", "docker", "sbom", "sig"] },
  },
  { what: "the tags with HEAD", path: "/v2/app/tags/list", method: "HEAD", status: 200, body: noBody },
  {
    what: "a page of tags",
    path: "/v2/app/tags/list?n=2",
    status: 200,
    has: { link: '</v2/app/tags/list?n=2&last=docker>; rel="next"' },
    body: { name: "app", tags: ["1.0", "docker"] },
  },
  {
    what: "the next page of tags",
    path: "/v2/app/tags/list?n=2&last=docker",
    status: 200,
    has: { link: undefined },
    body: { name: "app", tags: ["sbom", "sig"] },
  },
  {
    what: "no tags for n=0",
    path: "/v2/app/tags/list?n=0",
    status: 200,
    has: { link: undefined },
    body: { name: "app", tags: [] },
  },
  { what: "no tags after the last", path: "/v2/app/tags/list?last=zzz", status: 200, body: { name: "app", tags: [] } },
  {
    what: "a page of tags under ns",
    path: "/v2/team/app/tags/list?ns=quay.io&n=1&last=0",
    status: 200,
    has: { link: undefined, "oci-namespace": "quay.io" },
    body: { name: "team/app", tags: ["1.0"] },
  },
  {
    what: "400 for an invalid n",
    path: "/v2/app/tags/list?n=x",
    status: 400,
    code: "PAGINATION_NUMBER_INVALID",
    asked: [],
  },
  { what: "404 for the tags of an unknown repository", path: "/v2/none/tags/list", status: 404, code: "NAME_UNKNOWN" },
  {
    what: "the catalog",
    path: "/v2/_catalog",
    status: 200,
    body: { repositories: [REPO, "quay.io/team/app", "reg.lan:5000/x"] },
  },
  {
    what: "a page of the catalog",
    path: "/v2/_catalog?n=1",
    status: 200,
    has: { link: '</v2/_catalog?n=1&last=docker.io%2Flibrary%2Fapp>; rel="next"' },
    body: { repositories: [REPO] },
  },
  {
    what: "400 for an invalid n of the catalog",
    path: "/v2/_catalog?n=-1",
    status: 400,
    code: "PAGINATION_NUMBER_INVALID",
  },
  {
    what: "an empty list of referrers for an unknown subject",
    path: `/v2/app/referrers/${UNKNOWN_DIGEST}`,
    status: 200,
    has: { "content-type": MEDIA_TYPE.ociIndex, "oci-filters-applied": undefined },
    body: { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] },
  },
  {
    what: "an empty list of referrers for an unknown repository",
    path: `/v2/none/referrers/${UNKNOWN_DIGEST}`,
    status: 200,
    body: { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [] },
  },
  {
    what: "the referrers with an artifact type",
    path: `/v2/app/referrers/${image.root.digest}?artifactType=application/vnd.example.sbom`,
    status: 200,
    has: { "oci-filters-applied": "artifactType" },
    body: {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociIndex,
      manifests: [{ ...artifact.root, artifactType: "application/vnd.example.sbom" }],
    },
  },
  {
    what: "400 for the referrers of a tag",
    path: "/v2/app/referrers/1.0",
    status: 400,
    code: "DIGEST_INVALID",
  },
]);
