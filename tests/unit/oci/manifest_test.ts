import { CorruptError } from "../../../lib/oci/error.ts";
import {
  type Descriptor,
  isIndexType,
  isManifestType,
  type Manifest,
  MANIFEST_MEDIA_TYPES,
  MAX_MANIFEST_BYTES,
  MEDIA_TYPE,
  parseManifest,
  splitSuccessors,
  statesMediaType,
  stripParameters,
  successorsOf,
} from "../../../lib/oci/manifest.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { makeBlob } from "../../support/content.ts";

const config = makeBlob(10, 1).descriptor;
const layer = makeBlob(20, 2).descriptor;
const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const image = { schemaVersion: 2, config, layers: [layer] };
const index = { schemaVersion: 2, manifests: [{ ...layer, platform: { os: "linux", architecture: "arm64" } }] };

const types: [string, unknown, string | undefined, string][] = [
  [
    "of an image from its bytes",
    { ...image, mediaType: MEDIA_TYPE.ociManifest },
    MEDIA_TYPE.dockerManifest,
    MEDIA_TYPE.ociManifest,
  ],
  ["of an index from its bytes", { ...index, mediaType: MEDIA_TYPE.dockerList }, undefined, MEDIA_TYPE.dockerList],
  ["of an image from Content-Type", image, MEDIA_TYPE.dockerManifest, MEDIA_TYPE.dockerManifest],
  [
    "of an image from Content-Type with parameters",
    image,
    `${MEDIA_TYPE.dockerManifest}; charset=utf-8`,
    MEDIA_TYPE.dockerManifest,
  ],
  ["of an image from its fields", image, undefined, MEDIA_TYPE.ociManifest],
  ["of an index from its fields", index, undefined, MEDIA_TYPE.ociIndex],
  ["of an index from its fields when Content-Type differs", index, MEDIA_TYPE.dockerManifest, MEDIA_TYPE.ociIndex],
  ["of an image from its fields when Content-Type is unrelated", image, "text/plain", MEDIA_TYPE.ociManifest],
  ["of an unknown type from its bytes", { ...image, mediaType: "application/x+json" }, undefined, "application/x+json"],
];
const typed = (mediaType: string) => ({ ...layer, mediaType });
const [dockerConfig, dockerLayer] = ["container.image.v1+json", "image.rootfs.diff.tar.gzip"].map((type) =>
  typed(`application/vnd.docker.${type}`)
) as [Descriptor, Descriptor];
const { dockerManifest, ociManifest, ociIndex } = MEDIA_TYPE;
const listOf = (...manifests: unknown[]) => ({ schemaVersion: 2, manifests });
/** What is guessed of a document that states no type, when its registry does not tell either: skopeo refuses that of docker. */
const guesses: [string, unknown, string][] = [
  ["an image of docker", { ...image, config: dockerConfig, layers: [dockerLayer] }, ociManifest],
  ["a list of images of docker", listOf(typed(dockerManifest)), ociIndex],
  ["an index of images without a type", listOf({ ...layer, mediaType: null }), ociIndex],
  ["an empty index", listOf(), ociIndex],
];
for (const [what, json, expected] of guesses) {
  for (
    const contentType of [undefined, "", "text/plain; charset=utf-8", "application/json", "application/octet-stream"]
  ) {
    Deno.test(`[74] parseManifest() guesses the type of ${what}, sent as ${contentType}`, () => {
      assertEquals(parseManifest(encode(json), contentType).mediaType, expected);
    });
  }
}

for (const mediaType of [undefined, null, "", 1]) {
  Deno.test(`[74] an entry of an index with the type ${mediaType} is a manifest`, () => {
    const bytes = encode(listOf({ ...layer, mediaType }, { ...config, mediaType: "application/octet-stream" }));
    const { manifests, blobs } = splitSuccessors(parseManifest(bytes));
    assertEquals([manifests, blobs].map((list) => list.map(({ digest }) => digest)), [[layer.digest], [config.digest]]);
  });
}

for (const [what, json, contentType, expected] of types) {
  Deno.test(`parseManifest() takes the type ${what}`, () => {
    assertEquals(parseManifest(encode(json), contentType).mediaType, expected);
  });
}

Deno.test("parseManifest() parses an image", () => {
  const subject = makeBlob(5, 9).descriptor;
  const json = {
    ...image,
    mediaType: MEDIA_TYPE.ociManifest,
    subject,
    artifactType: "a/b",
    annotations: { x: "y", z: 1 },
  };
  assertEquals(parseManifest(encode(json)), {
    kind: "manifest",
    mediaType: MEDIA_TYPE.ociManifest,
    config,
    layers: [layer],
    subject,
    artifactType: "a/b",
    annotations: { x: "y" },
  });
});

Deno.test("parseManifest() parses an index with its platforms", () => {
  const platform = { os: "linux", architecture: "arm", variant: "v7", "os.version": "1", features: ["x"] };
  const manifests = [{ ...layer, platform, artifactType: "a/b", annotations: { a: "b" }, urls: ["u", 1] }, layer];
  assertEquals(parseManifest(encode({ ...index, manifests })), {
    kind: "index",
    mediaType: MEDIA_TYPE.ociIndex,
    manifests: [
      {
        ...layer,
        platform: { os: "linux", architecture: "arm", variant: "v7", "os.version": "1" },
        artifactType: "a/b",
        annotations: { a: "b" },
        urls: ["u"],
      },
      layer,
    ],
  });
});

Deno.test("parseManifest() parses an artifact manifest without config", () => {
  const json = { mediaType: MEDIA_TYPE.ociArtifact, artifactType: "a/b", blobs: [layer] };
  assertEquals(parseManifest(encode(json)), {
    kind: "manifest",
    mediaType: MEDIA_TYPE.ociArtifact,
    artifactType: "a/b",
    layers: [layer],
  });
});

Deno.test("parseManifest() treats missing layers as an empty list", () => {
  assertEquals(successorsOf(parseManifest(encode({ schemaVersion: 2, config }))), [config]);
  assertEquals(successorsOf(parseManifest(encode({ schemaVersion: 2, config, layers: null }))), [config]);
});

const wrong: [string, unknown, string][] = [
  ["both layers and manifests [53]", { ...image, ...index }, "both layers and manifests"],
  ["both config and manifests [53]", { ...index, config }, "both layers and manifests"],
  ["layers and manifests that are not a list [53]", { ...image, manifests: {} }, "both layers and manifests"],
  [
    "an index with the mediaType of an image",
    { ...index, mediaType: MEDIA_TYPE.ociManifest },
    "do not match that type",
  ],
  ["an image with the mediaType of an index", { ...image, mediaType: MEDIA_TYPE.ociIndex }, "do not match that type"],
  ["Docker schema 1", { schemaVersion: 1, fsLayers: [], history: [] }, "schema 1"],
  ["Docker schema 1 with schemaVersion 2", { ...image, fsLayers: [] }, "schema 1"],
  ["an image without config", { schemaVersion: 2, layers: [layer] }, "no config"],
  ["a list", [image], "not a JSON object"],
  ["null", null, "not a JSON object"],
  ["layers that are not a list", { ...image, layers: { 0: layer } }, "layers is not a list"],
  ["a layer that is not an object", { ...image, layers: ["x"] }, "layers[0] is not a descriptor"],
  ["a layer without digest", { ...image, layers: [{ ...layer, digest: undefined }] }, "layers[0].digest"],
  [
    "a layer whose digest is a path [54]",
    { ...image, layers: [{ ...layer, digest: "sha256:../x" }] },
    "layers[0].digest",
  ],
  ["a negative size [53]", { ...image, layers: [layer, { ...layer, size: -1 }] }, "layers[1].size"],
  ["a fractional size [53]", { ...image, layers: [{ ...layer, size: 1.5 }] }, "layers[0].size"],
  ["a size that is a string [53]", { ...image, layers: [{ ...layer, size: "20" }] }, "layers[0].size"],
  ["a size above the safe integers [53]", { ...image, layers: [{ ...layer, size: 2 ** 53 }] }, "layers[0].size"],
  ["a missing size", { ...image, config: { ...config, size: undefined } }, "config.size"],
  ["a subject that is not a descriptor", { ...image, subject: "x" }, "subject is not a descriptor"],
];
for (const [what, json, message] of wrong) {
  Deno.test(`parseManifest() rejects ${what}`, () => {
    assertThrows(() => parseManifest(encode(json)), CorruptError, message);
  });
}

const nulls: [string, unknown, unknown][] = [
  ["an index", { manifests: null, mediaType: MEDIA_TYPE.ociIndex }, { kind: "index", manifests: [] }],
  ["an index without mediaType", { manifests: null }, { kind: "index", manifests: [] }],
  ["an index with null layers", { ...index, layers: null, config: null }, {
    kind: "index",
    ...{ manifests: index.manifests },
  }],
  ["an image", { config, layers: null, manifests: null }, { kind: "manifest", config, layers: [] }],
  ["annotations and subject", { ...image, annotations: null, subject: null }, {
    kind: "manifest",
    config,
    layers: [layer],
  }],
  [
    "fields of a descriptor",
    { config: { ...config, annotations: null, urls: null, platform: null }, layers: [] },
    { kind: "manifest", config, layers: [] },
  ],
  ["the blobs of an artifact", { mediaType: MEDIA_TYPE.ociArtifact, blobs: null }, { kind: "manifest", layers: [] }],
];
for (const [what, json, expected] of nulls) {
  Deno.test(`[74] parseManifest() reads null as an empty list or an absent field: ${what}`, () => {
    const { mediaType: _, ...manifest } = parseManifest(encode({ schemaVersion: 2, ...json as object }));
    assertEquals(manifest as unknown, expected);
  });
}

Deno.test("parseManifest() rejects a manifest that is too large [22]", () => {
  assertThrows(() => parseManifest(new Uint8Array(MAX_MANIFEST_BYTES + 1)), CorruptError, "are allowed");
});

Deno.test("successorsOf() returns config and layers in order, or the manifests of an index", () => {
  assertEquals(successorsOf(parseManifest(encode({ ...image, layers: [layer, config, layer] }))), [
    config,
    layer,
    config,
    layer,
  ]);
  assertEquals(successorsOf(parseManifest(encode({ ...index, manifests: [layer, config] }))), [layer, config]);
});

Deno.test("successorsOf() leaves out foreign layers and the subject", () => {
  const urls = ["https://example.com/x"];
  const foreign = { ...layer, mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls };
  const nondistributable = {
    ...layer,
    mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    urls,
  };
  const withUrls = { ...layer, urls };
  const json = { ...image, layers: [foreign, nondistributable, withUrls], subject: layer };
  assertEquals(successorsOf(parseManifest(encode(json))), [config, withUrls]);
});

Deno.test("isManifestType() and isIndexType() distinguish media types", () => {
  assertEquals(MANIFEST_MEDIA_TYPES.map(isManifestType), MANIFEST_MEDIA_TYPES.map(() => true));
  assertEquals(isManifestType("application/vnd.oci.image.config.v1+json"), false);
  assertEquals(MANIFEST_MEDIA_TYPES.filter(isIndexType), [MEDIA_TYPE.ociIndex, MEDIA_TYPE.dockerList]);
});

Deno.test("stripParameters() returns only the type, in lower case", () => {
  assertEquals(stripParameters("Application/JSON ; charset=utf-8"), "application/json");
  assertEquals([null, undefined, "", " ", "; x=y"].map(stripParameters), [
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

Deno.test("[89] parseManifest() parses the same bytes once for each type that they may have", () => {
  const stated = encode({ ...image, mediaType: MEDIA_TYPE.ociManifest });
  assertEquals(parseManifest(stated) === parseManifest(stated, MEDIA_TYPE.dockerManifest), true);
  const bytes = encode(image);
  const [docker, oci] = [MEDIA_TYPE.dockerManifest, MEDIA_TYPE.ociManifest].map((type) =>
    parseManifest(bytes, type)
  ) as [
    Manifest,
    Manifest,
  ];
  assertEquals([docker.mediaType, oci.mediaType], [MEDIA_TYPE.dockerManifest, MEDIA_TYPE.ociManifest]);
  assertEquals(parseManifest(bytes, `${MEDIA_TYPE.dockerManifest};x=y`) === docker, true);
  assertEquals(parseManifest(bytes) === docker, true);
  assertEquals([statesMediaType(stated), statesMediaType(bytes)], [true, false]);
});

const entries = <T>(count: number, make: (i: number) => T) => Array.from({ length: count }, (_, i) => make(i));
const expensive: [string, unknown, string][] = [
  ["200,000 small values", { ...image, x: entries(200_000, () => []) }, "more than 100000 values"],
  ["10,001 layers", { ...image, layers: entries(10_001, () => layer) }, "layers has 10001 entries, 10000 are allowed"],
  ["10,001 manifests", { manifests: entries(10_001, () => layer) }, "manifests has 10001 entries"],
  ["10,001 annotations", { ...image, annotations: Object.fromEntries(entries(10_001, (i) => [i, ""])) }, "annotations"],
];
for (const [what, json, message] of expensive) {
  Deno.test(`[89] parseManifest() rejects ${what}`, () => {
    assertThrows(() => parseManifest(encode(json)), CorruptError, message);
  });
}
