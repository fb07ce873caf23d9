import { anyHost, BAD_HOSTS, GOOD_HOSTS } from "./hostile_hosts.ts";
import type { Random } from "../support/random.ts";
import { formatDraft, type RequestDraft } from "./request_draft.ts";
import { makeNoise } from "./request_noise.ts";

/** The content of the registry that receives the requests. */
export interface RequestFacts {
  /** The name of a repository in request paths: `registry.test/team/app`. */
  readonly name: string;
  readonly tag: string;
  readonly blob: string;
  /** Hosts that must receive no connection. */
  readonly privates: readonly string[];
}

/** The bytes of a request, and the expected result. */
export interface HostileRequest {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly method: string;
  /** The allowed response statuses; by default any below 500. */
  readonly expected?: readonly number[];
  /** Whether its framing is valid; otherwise it needs a connection of its own. */
  readonly isFramed: boolean;
}

const UP = [
  ...".. ../.. ../../../../etc/passwd ..%2f.. %2e%2e %2e%2e%2f%2e%2e%2fetc%2fpasswd".split(" "),
  ..."%2E%2E/%2e%2e %252e%252e%252f ..%5c.. ..\\.. ....// .%2e %c0%ae%c0%ae %e0%80%ae ..;".split(" "),
  ..."..%00 %uff0e%uff0e _manifests _layers . %00 ~root * $HOME %0d%0aX-Injected:%201 ..%0a".split(" "),
  ..."../secret secret".split(" "),
];
const NAMES = [
  ..."a team/app library/nginx quay.io/a/b a/manifests/b v2 A a//b a/ a__b a_-b é".split(" "),
];
const RANGES = [
  ...[
    "bytes=0-",
    "bytes=0-0",
    "bytes=-1",
    "bytes=-0",
    "bytes=9-1",
    "nibbles=0-9",
    "bytes=",
    "bytes",
    "bytes=a-b",
    "=0-1",
  ],
  ...[
    "bytes=0-0,2-2",
    "bytes=99999999999999999999-",
    "bytes=-99999999999999999999",
    "bytes=0x0-0x9",
    "BYTES=0-1",
    "bytes=1e3-",
  ],
  ...["bytes=0-18446744073709551616", "bytes= 0-1", "bytes=0 - 1", "bytes=--1", "bytes=1-\t2", "none", "bytes=0-,-1"],
];
const METHODS = [
  ..."POST PUT PATCH DELETE OPTIONS TRACE PROPFIND BREW get GET2 M-SEARCH CONNECT __proto__".split(" "),
  ..."constructor QUERY".split(" "),
  ...["Q".repeat(300)],
];
const NUMBERS = [
  "-1",
  "0",
  "1",
  "1e9",
  "99999999999999999999",
  "NaN",
  "0x10",
  "",
  "1.5",
  " 1",
  "١",
  "%00",
  "null",
  "[]",
];

/** Makes a hostile request of any kind. */
export function makeHostileRequest(random: Random, facts: RequestFacts): HostileRequest {
  if (random.chance(0.04)) {
    return { bytes: makeNoise(random, `/v2/${facts.name}/manifests/${facts.tag}`), method: "GET", isFramed: false };
  }
  const make = random.pick([traverse, traverse, askHost, range, badHost, absolute, list, method, wild, wild, wild]);
  return formatRequest(make(random, facts), random);
}

/** Makes a request that names an upstream on this machine or on a private network. */
export function makePrivateHostRequest(random: Random, facts: RequestFacts): HostileRequest {
  return formatRequest(askHost(random, facts), random);
}

function formatRequest(draft: RequestDraft, random: Random): HostileRequest {
  const { method, expected } = draft;
  return { bytes: formatDraft(draft, random), isFramed: true, method, ...(expected && { expected }) };
}

// Path traversal in a name, a reference or a digest (fault 54).
function traverse(random: Random, { name }: RequestFacts): RequestDraft {
  const up = random.pick(UP);
  const target = random.pick([
    () => `/v2/${up}/manifests/1`,
    () => `/v2/${name}/${up}/manifests/1`,
    () => `/v2/${name}/manifests/${up}`,
    () => `/v2/${name}/blobs/${up}`,
    () => `/v2/${name}/blobs/sha256:${up}`,
    () => `/v2/${name}/blobs/sha256%3a${up}`,
    () => `/v2/${name}/referrers/${up}`,
    () => `/v2/${up}/tags/list`,
    () => `/mirrors/${up}/v2/${name}/manifests/1`,
    () => `/${up}/v2/`,
    () => `/v2/${up}`,
    () => `/v2/${up}/../${up}/blobs/sha256:${"0".repeat(64)}`,
  ])();
  // Some of them resolve to a valid but unknown name.
  return { ...plain(random), target, expected: [400, 404] };
}

// An upstream on this machine or on the local network (fault 59).
function askHost(random: Random, { privates }: RequestFacts): RequestDraft {
  const host = random.pick(privates);
  const target = random.pick([
    () => `/v2/team/app/manifests/1?ns=${encodeURIComponent(host)}`,
    () => `/v2/team/app/blobs/sha256:${"0".repeat(64)}?ns=${host}`,
    () => `/v2/team/app/tags/list?ns=${host}`,
    () => `/v2/team/app/referrers/sha256:${"1".repeat(64)}?ns=${host}`,
    () => `/mirrors/${host}/v2/team/app/manifests/latest`,
    () => `/v2/${host}/team/app/manifests/latest`,
    () => `/v2/${host}/team/app/manifests/latest?ns=${host}`,
  ])();
  // The referrers of an unknown digest are an empty list (distribution specification, "Listing Referrers").
  return { ...plain(random), target, expected: target.includes("referrers") ? [200, 400, 404] : [400, 404] };
}

// Range headers (fault 56).
function range(random: Random, { name, blob }: RequestFacts): RequestDraft {
  const many = `bytes=${Array.from({ length: random.pick([3, 100, 1500]) }, (_, i) => `${i * 2}-${i * 2}`).join(",")}`;
  const headers: RequestDraft["headers"] = [["Range", random.chance(0.1) ? many : random.pick(RANGES)]];
  if (random.chance(0.2)) headers.push(["Range", random.pick(RANGES)]);
  if (random.chance(0.2)) {
    headers.push(["If-Range", random.pick([`"${blob}"`, `W/"${blob}"`, "*", "Wed, 21 Oct 2015 07:28:00 GMT"])]);
  }
  if (random.chance(0.2)) {
    headers.push(["If-None-Match", random.pick(["*", `"${blob}"`, '"'.repeat(900), ",".repeat(900)])]);
  }
  return { ...plain(random), headers, target: `/v2/${name}/blobs/${blob}`, expected: [200, 206, 304, 416] };
}

function badHost(random: Random, { name, tag }: RequestFacts): RequestDraft {
  const target = random.pick([`/v2/${name}/manifests/${tag}`, "/v2/", "/metrics", "/healthz", "/v2/_catalog", "/"]);
  return { ...plain(random), target, host: random.pick(BAD_HOSTS), expected: [400] };
}

// Targets in absolute and authority form (RFC 9112, 3.2.2 and 3.2.3).
function absolute(random: Random, facts: RequestFacts): RequestDraft {
  const { name, tag, privates } = facts;
  const path = `/v2/${name}/manifests/${tag}`;
  const draft = plain(random);
  if (random.chance(0.3)) {
    const host = random.pick([...GOOD_HOSTS.filter((it) => it !== "a:"), ...privates]);
    return { ...draft, method: "GET", target: `http://${host}${path}`, expected: [200] };
  }
  const target = random.pick([
    () => `http://${random.pick(BAD_HOSTS)}${path}`,
    () => `https://u:p@${random.pick(privates)}${path}`,
    () => `ftp://x${path}`,
    () => `file://${path}`,
    () => "http://" + random.pick(["", "/", "?", "#", "a?b", ":80/"]),
    () =>
      random.pick([
        "*",
        "crpe:6060",
        "v2/",
        "?x",
        "#",
        "http:/v2/",
        "//evil.test/v2/",
        "///v2/",
        "javascript:1",
        "\\v2\\",
      ]),
  ])();
  return { ...draft, target, method: random.pick(["GET", "GET", "CONNECT", "OPTIONS"]) };
}

function list(random: Random, { name }: RequestFacts): RequestDraft {
  const query = Array.from({ length: random.below(4) }, () => {
    return `${random.pick(["n", "last", "ns", "artifactType", "__proto__", "n[]", "N"])}=${
      random.pick([...NUMBERS, ...UP, '"', "<x>", "%0d%0aX-Injected:%201", "a".repeat(2000)])
    }`;
  }).join(random.pick(["&", "&&", ";", "&?"]));
  const path = random.pick([
    "/v2/_catalog",
    `/v2/${name}/tags/list`,
    `/v2/${name}/referrers/sha256:${"0".repeat(64)}`,
    "/v2/",
  ]);
  return { ...plain(random), target: `${path}?${query}` };
}

function method(random: Random, { name, blob }: RequestFacts): RequestDraft {
  const verb = random.pick(METHODS);
  const target = random.pick([
    `/v2/${name}/blobs/uploads/`,
    `/v2/${name}/manifests/x`,
    `/v2/${name}/blobs/${blob}`,
    "/metrics",
    "/",
  ]);
  return { ...plain(random), method: verb, target, body: random.pick(["", "x", "y".repeat(3000)]) };
}

function wild(random: Random, facts: RequestFacts): RequestDraft {
  const piece = () =>
    random.pick([
      () => random.pick(NAMES),
      () => random.pick(UP),
      () => facts.name,
      () => facts.blob,
      () =>
        random.pick([
          "v2",
          "manifests",
          "blobs",
          "tags",
          "list",
          "referrers",
          "_catalog",
          "uploads",
          "mirrors",
          "",
          "latest",
        ]),
      () => encode(random.pick(NAMES), random),
      () => encode(anyHost(random, facts.privates), random),
      () => String.fromCharCode(...random.bytes(random.below(6)).map((byte) => byte | 0x80)),
      () => "a".repeat(random.pick([127, 128, 129, 255, 256, 5000])),
    ])();
  const parts = Array.from({ length: 1 + random.below(6) }, piece);
  const query = random.chance(0.4) ? `?${piece()}=${piece()}&ns=${anyHost(random, facts.privates)}` : "";
  const names = [
    "Range",
    "Accept",
    "If-None-Match",
    "Authorization",
    "Cookie",
    "X-Forwarded-Host",
    "Forwarded",
    "Origin",
    "Via",
  ];
  const headers = Array.from({ length: random.below(5) }, (): [string, string] => [random.pick(names), piece()]);
  if (random.chance(0.01)) headers.push(["X-Long", "a".repeat(random.pick([7000, 70_000, 300_000]))]);
  if (random.chance(0.01)) headers.push(...Array.from({ length: 300 }, (): [string, string] => ["Accept", "a/b"]));
  return { ...plain(random), headers, target: `/${random.chance(0.7) ? "v2/" : ""}${parts.join("/")}${query}` };
}

function plain(random: Random): RequestDraft {
  return {
    method: random.chance(0.8) ? "GET" : "HEAD",
    target: "/v2/",
    host: random.pick(GOOD_HOSTS),
    headers: [],
    body: random.chance(0.05) ? "an unexpected body" : "",
  };
}

function encode(text: string, random: Random): string {
  return [...new TextEncoder().encode(text)].map((byte) => {
    const hex = byte.toString(16).padStart(2, "0");
    return random.pick([String.fromCharCode(byte), `%${hex}`, `%${hex.toUpperCase()}`, `%25${hex}`]);
  }).join("");
}
