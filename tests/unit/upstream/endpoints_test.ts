import { computeDigest } from "../../../lib/oci/digest.ts";
import { normalizeHost } from "../../../lib/oci/reference.ts";
import {
  createEndpointSelector,
  createSingleEndpointSelector,
  defaultEndpointUrl,
  type HttpClientOptions,
  listWellKnownUpstreams,
  type UpstreamEntry,
} from "../../../lib/upstream/endpoints.ts";
import { UpstreamSource } from "../../../lib/upstream/upstream_source.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { UsageError } from "../../../lib/oci/error.ts";

const WELL_KNOWN = listWellKnownUpstreams();
const CASES: [name: string, entries: UpstreamEntry[], host: string, urls: string[] | undefined][] = [
  ["uses registry-1.docker.io for docker.io", WELL_KNOWN, "docker.io", ["https://registry-1.docker.io/"]],
  ["recognizes the other names of docker.io", [{ host: "index.docker.io" }], "registry-1.docker.io", [
    "https://registry-1.docker.io/",
  ]],
  ["uses a well-known registry under its own name", WELL_KNOWN, "ghcr.io", ["https://ghcr.io/"]],
  ["does not allow a registry without an entry", WELL_KNOWN, "registry.example.com", undefined],
  ["allows no registry without entries", [], "docker.io", undefined],
  ["accepts a URL", [{ host: "docker.io", url: "http://mirror:5000" }], "docker.io", ["http://mirror:5000/"]],
  ["treats a URL without a scheme as https", [{ host: "a.example.com", url: "mirror.lan:5000/x" }], "a.example.com", [
    "https://mirror.lan:5000/x",
  ]],
  [
    "returns several entries of a host in their order",
    [
      { host: "quay.io", url: "http://mirror:5000/quay.io" },
      { host: "QUAY.io" },
    ],
    "quay.io",
    ["http://mirror:5000/quay.io", "https://quay.io/"],
  ],
  ["accepts a private host that has an entry", [{ host: "10.0.0.1:5000" }], "10.0.0.1:5000", [
    "https://10.0.0.1:5000/",
  ]],
  ["uses http for this machine", [{ host: "localhost:5000" }], "localhost:5000", ["http://localhost:5000/"]],
  ["allows any public host by *", [{ host: "*" }], "registry.example.com", ["https://registry.example.com/"]],
  ["prefers the entry of a host to *", [{ host: "*" }, { host: "quay.io", url: "https://m.example.com" }], "quay.io", [
    "https://m.example.com/",
  ]],
  ["uses * with a URL as the mirror of all hosts", [{ host: "*", url: "http://mirror:5000" }], "quay.io", [
    "http://mirror:5000/",
  ]],
  ["tries the mirror first, then the registry", [{ host: "*", url: "http://mirror:5000" }, { host: "*" }], "quay.io", [
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

Deno.test("createEndpointSelector() uses the credential of * for no host", () => {
  const select = createEndpointSelector([{ host: "*", credential: { username: "a", password: "b" } }]);
  assertEquals(select("registry.example.com")?.map(({ credential }) => credential), [undefined]);
});

Deno.test("createEndpointSelector() creates one HTTP client per entry with certificate authorities", () => {
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

Deno.test("createEndpointSelector() trusts the system's authorities everywhere, with one HTTP client", () => {
  const made: HttpClientOptions[] = [];
  const createHttpClient = (options: HttpClientOptions) => {
    made.push(options);
    return { id: made.length } as unknown as Deno.HttpClient;
  };
  const clientCertificate = { cert: "CERT", key: "KEY" };
  const entries = [{ host: "a.example.com" }, { host: "b.example.com" }, { host: "*" }, {
    host: "c.example.com",
    caCerts: ["CA"],
    clientCertificate,
  }];
  const select = createEndpointSelector(entries, { createHttpClient, readRootCerts: () => ["ROOT"] });
  const own = { caCerts: ["ROOT", "CA"], ...clientCertificate };
  assertEquals(made, [own]);
  const [a, b, any, c] = ["a.example.com", "b.example.com", "x.example.com", "c.example.com"].map((host) =>
    select(host)?.[0]?.client
  );
  assertEquals([a === b, a === any, a === c], [true, true, false]);
  assertEquals(made, [own, { caCerts: ["ROOT"] }]);
});

const PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
Deno.test("createEndpointSelector() rejects certificates that cannot be used, and does without those of the system", () => {
  assertThrows(
    () => createEndpointSelector([{ host: "quay.io", caCerts: [PEM] }]),
    UsageError,
    'Cannot use the certificates of upstream "quay.io": ',
  );
  const clientCertificate = { cert: "x", key: "y" };
  assertThrows(() => createEndpointSelector([{ host: "quay.io", clientCertificate }]), UsageError, "certificate");
  assertEquals(
    createEndpointSelector([{ host: "quay.io" }], { readRootCerts: () => [PEM] })("quay.io")?.[0]?.client,
    undefined,
  );
});

const INSECURE: [name: string, entry: UpstreamEntry, urls: string[]][] = [
  ["a host", { host: "reg.lan:5000", isInsecure: true }, ["https://reg.lan:5000/", "http://reg.lan:5000/"]],
  ["an address without a scheme", { host: "reg.lan", url: "10.0.0.1/x", isInsecure: true }, [
    "https://10.0.0.1/x",
    "http://10.0.0.1/x",
  ]],
  ["a URL, whose scheme counts", { host: "reg.lan", url: "https://10.0.0.1", isInsecure: true }, ["https://10.0.0.1/"]],
  ["a host that is not insecure", { host: "reg.lan" }, ["https://reg.lan/"]],
];
for (const [name, entry, urls] of INSECURE) {
  Deno.test(`createEndpointSelector() uses plain HTTP after HTTPS for an insecure registry: ${name}`, () => {
    assertEquals(createEndpointSelector([entry])(entry.host)?.map(({ url }) => url.href), urls);
  });
}

for (
  const [url, reason] of [["ftp://x", "ftp:"], ["http://", "not a URL"], [
    "https://me:pw@x.example.com",
    "put them into the configuration",
  ]] as const
) {
  Deno.test(`createEndpointSelector() rejects the URL ${url}`, () => {
    assertThrows(
      () => createEndpointSelector([{ host: "quay.io", url }]),
      UsageError,
      `Cannot use the URL of upstream "quay.io": `,
    );
    assertThrows(() => createEndpointSelector([{ host: "quay.io", url }]), UsageError, reason);
  });
}

Deno.test("createEndpointSelector() rejects an entry whose host is not valid", () => {
  assertThrows(() => createEndpointSelector([{ host: "quay.io/team" }]), UsageError, "it is not a host name");
});

Deno.test("createSingleEndpointSelector() returns the same endpoint for every host", () => {
  const select = createSingleEndpointSelector({ url: "https://mirror.example.com" });
  const urls = ["docker.io", "quay.io", "registry.lan"].map((host) => select(host)?.map(({ url }) => url.href));
  assertEquals(new Set(urls.flat()), new Set(["https://mirror.example.com/"]));
});

Deno.test("defaultEndpointUrl() returns https except for this machine", () => {
  assertEquals(["docker.io", "a.lan", "127.0.0.1:5000", "a.localhost"].map(defaultEndpointUrl), [
    "https://registry-1.docker.io",
    "https://a.lan",
    "http://127.0.0.1:5000",
    "http://a.localhost",
  ]);
});

const DIGEST = computeDigest("x");
for (const host of ["169.254.169.254", "127.0.0.1:6443", "rebound.example.net"]) {
  Deno.test(`[59] UpstreamSource sends no request to ${host}`, async () => {
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
        source.openBlobWith(repo, DIGEST, {}),
        source.openBlobWith(repo, DIGEST, { range: { start: 1 } }),
        source.listTags(repo),
        source.listReferrers(repo, DIGEST),
      ]),
      [...new Array(8).fill(undefined), { referrers: [] }],
    );
    assertEquals(sent, 0);
  });
}
