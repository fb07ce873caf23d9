import { parseConfigFile } from "../../../lib/cli/command_line/config_file.ts";
import { checkError, fault, type FuzzTarget } from "../fuzz_target.ts";
import { mutateDocument, mutateText } from "../mutate_text.ts";
import { UsageError } from "../../../lib/oci/error.ts";

// It has a character that no name has: where a mutation joins a name and a value, the name ends there.
const SECRET = "hunter/5ecret";
const DOCUMENT = {
  data: "/var/lib/crpe",
  addr: ":6060",
  upstream: ["docker.io", "registry.test=http://127.0.0.1:5000"],
  offline: false,
  platform: ["linux/amd64", "linux/arm64"],
  "tag-ttl": "5m",
  "cache-max": "20GiB",
  "tls-cert": "tls.crt",
  hosts: {
    "registry.test": {
      ...{ url: ["https://a.test", "https://b.test"], username: "me", password: SECRET },
      ...{ "token-hosts": "auth.test", "ca-file": "ca.pem", insecure: true, "max-connections": 8 },
    },
    "ghcr.io": { "password-file": "secret", "identity-token": SECRET },
  },
};
const YAML = `# a comment
data: /var/lib/crpe
upstream: [docker.io, "ghcr.io"]
tag-ttl: 5m
hosts:
  registry.test: &host
    url: https://a.test
    password: ${SECRET}
  "other.test:5000":
    <<: *host
    identity-token: >-
      ${SECRET}
`;
const WORDS = [
  ...[
    "&a",
    "*a",
    "!!binary ",
    "!!js/function ",
    "<<: ",
    "---\n",
    "...\n",
    "\t",
    "? ",
    ": ",
    "- ",
    "|",
    ">",
    "%YAML 1.2\n",
  ],
  ...[
    "{",
    "[",
    "\u0000",
    "\u202e",
    "\ud800",
    "'",
    '"',
    "\n",
    "  ",
    "~",
    "null",
    "0x1F",
    "1e400",
    ".nan",
    "__proto__: ",
  ],
];

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The configuration file (`--config FILE`), as JSON and as YAML. */
export const CONFIGURATION: FuzzTarget = {
  name: "configuration",
  outcomes: ["parsed", "UsageError"],
  cases: 10_000,
  prepare: () => {
    return Promise.resolve({
      run: (random, describe) => {
        let text = random.chance(0.5) ? JSON.stringify(DOCUMENT) : YAML;
        for (let times = 1 + random.below(2); times > 0; times--) {
          text = text.startsWith("{") && random.chance(0.8)
            ? decoder.decode(mutateDocument(encoder.encode(text), random))
            : mutateText(text, WORDS, random);
        }
        describe(JSON.stringify(text));
        return Promise.resolve(parse(text));
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  },
};

function parse(text: string): string {
  try {
    const config = parseConfigFile(text, "/etc/crpe/config.yaml");
    for (const host of Object.values(config.hosts)) {
      const paths = [host["password-file"], host["ca-file"]].filter((path) => path !== undefined);
      if (paths.some((path) => !path.startsWith("/"))) fault("a path of the result is relative");
    }
    if (!config.upstream.every((each) => typeof each === "string")) fault("an upstream is no string");
    return "parsed";
  } catch (error) {
    return checkError(error, [UsageError], SECRET);
  }
}
