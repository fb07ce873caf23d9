import { computeDigest } from "../../../lib/oci/digest.ts";
import { normalizeHost } from "../../../lib/oci/reference.ts";
import {
  createEndpointSelector,
  createSingleEndpointSelector,
  defaultEndpointUrl,
  listWellKnownUpstreams,
  type UpstreamEntry,
} from "../../../lib/upstream/endpoints.ts";
import { UpstreamSource } from "../../../lib/upstream/upstream_source.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const WELL_KNOWN = listWellKnownUpstreams();
const CASES: [name: string, entries: UpstreamEntry[], host: string, urls: string[] | undefined][] = [
  ["asks docker.io at registry-1", WELL_KNOWN, "docker.io", ["https://registry-1.docker.io/"]],
  ["knows docker.io's other names", [{ host: "index.docker.io" }], "registry-1.docker.io", [
    "https://registry-1.docker.io/",
  ]],
  ["asks a well-known registry under its own name", WELL_KNOWN, "ghcr.io", ["https://ghcr.io/"]],
  ["asks no registry that is not named", WELL_KNOWN, "registry.example.com", undefined],
  ["asks nobody where nothing is named", [], "docker.io", undefined],
  ["takes a URL", [{ host: "docker.io", url: "http://mirror:5000" }], "docker.io", ["http://mirror:5000/"]],
  ["takes a URL without a scheme as https", [{ host: "a.example.com", url: "mirror.lan:5000/x" }], "a.example.com", [
    "https://mirror.lan:5000/x",
  ]],
  [
    "asks several in their order",
    [
      { host: "quay.io", url: "http://mirror:5000/quay.io" },
      { host: "QUAY.io" },
    ],
    "quay.io",
    ["http://mirror:5000/quay.io", "https://quay.io/"],
  ],
  ["takes a private host that is named", [{ host: "10.0.0.1:5000" }], "10.0.0.1:5000", ["https://10.0.0.1:5000/"]],
  ["asks this machine by http", [{ host: "localhost:5000" }], "localhost:5000", ["http://localhost:5000/"]],
  ["allows any public host by *", [{ host: "*" }], "registry.example.com", ["https://registry.example.com/"]],
  ["prefers what is named to *", [{ host: "*" }, { host: "quay.io", url: "https://m.example.com" }], "quay.io", [
    "https://m.example.com/",
  ]],
  ["makes a mirror of all of * with a URL", [{ host: "*", url: "http://mirror:5000" }], "quay.io", [
    "http://mirror:5000/",
  ]],
  ["tries a mirror, then the registry", [{ host: "*", url: "http://mirror:5000" }, { host: "*" }], "quay.io", [
    "http://mirror:5000/",
    "https://quay.io/",
  ]],
];
for (const [name, entries, host, urls] of CASES) {
  Deno.test(`createEndpointSelector() ${name}`, () => {
    assertEquals(createEndpointSelector(entries)(normalizeHost(host))?.map(({ url }) => url.href), urls);
  });
}

for (
  const host of [
    "169.254.169.254",
    "127.0.0.1:6443",
    "2130706433",
    "localhost:5000",
    "[::1]:5000",
    "10.0.0.1",
    "registry.lan",
    "kubernetes",
    "metadata.google.internal",
    "a b",
    "example.com/x",
    "user@example.com",
    "",
  ]
) {
  Deno.test(`[59] createEndpointSelector() does not allow ${JSON.stringify(host)} by *`, () => {
    assertEquals(createEndpointSelector([{ host: "*" }])(host), undefined);
    assertEquals(createEndpointSelector(WELL_KNOWN)(host), undefined);
  });
}

Deno.test("createEndpointSelector() gives no credential to whoever is asked by *", () => {
  const select = createEndpointSelector([{ host: "*", credential: { username: "a", password: "b" } }]);
  assertEquals(select("registry.example.com")?.map(({ credential }) => credential), [undefined]);
});

Deno.test("createEndpointSelector() makes one client for a list of authorities", () => {
  const made: string[][] = [];
  const client = {} as Deno.HttpClient;
  const createHttpClient = ({ caCerts }: { caCerts: string[] }) => {
    made.push(caCerts);
    return client;
  };
  const select = createEndpointSelector([{ host: "*", caCerts: ["PEM"] }, { host: "quay.io" }], { createHttpClient });
  assertEquals(["a.example.com", "b.example.com"].map((host) => select(host)?.[0]?.client === client), [true, true]);
  assertEquals(select("quay.io")?.[0]?.client, undefined);
  assertEquals(made, [["PEM"]]);
});

for (
  const [url, reason] of [["ftp://x", "ftp:"], ["http://", "no URL"], [
    "https://me:pw@x.example.com",
    "belongs into",
  ]] as const
) {
  Deno.test(`createEndpointSelector() refuses the URL ${url}`, () => {
    assertThrows(() => createEndpointSelector([{ host: "quay.io", url }]), TypeError, reason);
  });
}

Deno.test("createEndpointSelector() refuses what is no host", () => {
  assertThrows(() => createEndpointSelector([{ host: "quay.io/team" }]), TypeError, "it is no host");
});

Deno.test("createSingleEndpointSelector() sends every name to one endpoint", () => {
  const select = createSingleEndpointSelector({ url: "https://mirror.example.com" });
  const urls = ["docker.io", "quay.io", "registry.lan"].map((host) => select(host)?.map(({ url }) => url.href));
  assertEquals(new Set(urls.flat()), new Set(["https://mirror.example.com/"]));
});

Deno.test("defaultEndpointUrl() is https except for this machine", () => {
  assertEquals(["docker.io", "a.lan", "127.0.0.1:5000", "a.localhost"].map(defaultEndpointUrl), [
    "https://registry-1.docker.io",
    "https://a.lan",
    "http://127.0.0.1:5000",
    "http://a.localhost",
  ]);
});

const DIGEST = computeDigest("x");
for (const host of ["169.254.169.254", "127.0.0.1:6443", "rebound.example.net"]) {
  Deno.test(`[59] UpstreamSource sends not one packet to ${host}`, async () => {
    let sent = 0;
    const source = new UpstreamSource({
      endpointsOf: createEndpointSelector([{ host: "*" }]),
      fetch: () => {
        sent++;
        return Promise.reject(new Error("must not be sent"));
      },
      resolveHost: () => Promise.resolve(["127.0.0.1"]),
    });
    const repo = `${host}/team/app`;
    assertEquals(
      await Promise.all([
        source.resolve(repo, "1"),
        source.resolve(repo, DIGEST),
        source.headManifest(repo, "1"),
        source.readManifest(repo, DIGEST),
        source.statBlob(repo, DIGEST),
        source.openBlob(repo, DIGEST),
        source.openBlob(repo, DIGEST, { start: 1 }),
        source.listTags(repo),
        source.listReferrers(repo, DIGEST),
      ]),
      [...new Array(8).fill(undefined), []],
    );
    assertEquals(sent, 0);
  });
}
