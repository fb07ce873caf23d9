import { parseChallenges, selectChallenge } from "../../../lib/http/challenge.ts";
import { parseNextLink } from "../../../lib/http/link.ts";
import type { Random } from "../../support/random.ts";
import { fault, type FuzzTarget } from "../fuzz_target.ts";
import { mutateText } from "../mutate_text.ts";

const SEEDS = [
  `Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"`,
  `Basic realm="registry", Bearer realm="/token", error="insufficient_scope"`,
  `Negotiate YWJj=, Digest realm="x", nonce=1, qop="auth,auth-int"`,
  `Basic realm="say \\"hi\\"", charset="UTF-8"`,
  `</v2/a/tags/list?n=1&last=b>; rel="next"; title="x, y", <https://b.test/c>; rel=prev`,
];
const WORDS = [
  ...["Bearer ", "basic", "realm=", "realm", '"', "\\", ",", "=", " ", "\t", ";", "<", ">", "rel=next", 'rel="'],
  ...["https://[::1", "//evil.test/", "javascript:", "http://169.254.169.254/", "\u0000", "é", "%", "token68=="],
];
const BASE = new URL("https://registry.test/v2/");

/** `WWW-Authenticate` and `Link` of an upstream. */
export const CHALLENGE: FuzzTarget = {
  name: "WWW-Authenticate and Link",
  outcomes: ["bearer", "basic", "none", "round trip", "link"],
  cases: 50_000,
  prepare: () => {
    return Promise.resolve({
      run: (random, describe) => {
        if (random.chance(0.2)) return Promise.resolve(checkRoundTrip(random, describe));
        let header = random.pick(SEEDS);
        for (let times = 1 + random.below(3); times > 0; times--) header = mutateText(header, WORDS, random);
        describe(JSON.stringify(header));
        return Promise.resolve(random.chance(0.3) ? checkLink(header) : checkChallenges(header));
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  },
};

function checkChallenges(header: string): string {
  const challenges = parseChallenges(header);
  for (const { scheme, parameters } of challenges) {
    for (const name of [scheme, ...parameters.keys()]) {
      if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name)) fault(`${JSON.stringify(name)} is no token in lower case`);
    }
  }
  const selected = selectChallenge(challenges, BASE);
  const realm = selected?.parameters.get("realm");
  if (selected?.scheme === "bearer" && !/^https?:\/\//.test(realm ?? "")) fault(`the realm is ${realm}`);
  return selected?.scheme ?? "none";
}

function checkLink(header: string): string {
  const url = parseNextLink(header, BASE);
  if (url !== undefined && url !== null && !(url instanceof URL)) fault("the next page is no URL");
  return url === undefined ? "no link" : "link";
}

// What a challenge was formatted from, as RFC 9110 (11.6.1) defines, is what is parsed.
function checkRoundTrip(random: Random, describe: (what: string) => void): string {
  const expected = Array.from({ length: 1 + random.below(4) }, (_, i) => {
    const parameters = Array.from({ length: 1 + random.below(4) }, (_, j): [string, string] => {
      const value = String.fromCharCode(...Array.from({ length: random.below(12) }, () => 32 + random.below(95)));
      return [`p${j}`, value];
    });
    return { scheme: `scheme${i}`, parameters };
  });
  const header = expected.map(({ scheme, parameters }) => {
    const pairs = parameters.map(([name, value]) => `${name}="${value.replace(/["\\]/g, "\\$&")}"`);
    return `${scheme} ${pairs.join(random.pick([", ", ",", " , "]))}`;
  }).join(", ");
  describe(JSON.stringify(header));
  const parsed = parseChallenges(header).map(({ scheme, parameters }) => ({ scheme, parameters: [...parameters] }));
  if (JSON.stringify(parsed) !== JSON.stringify(expected)) fault(`parsed as ${JSON.stringify(parsed)}`);
  return "round trip";
}
