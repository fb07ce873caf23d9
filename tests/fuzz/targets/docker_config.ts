import { CorruptError } from "../../../lib/oci/error.ts";
import { type Credential, parseDockerConfig } from "../../../lib/upstream/trust/docker_config.ts";
import { checkError, fault, type FuzzTarget } from "../fuzz_target.ts";
import { mutateDocument } from "../mutate_text.ts";

const SECRET = "hunter-5ecret";
const HOSTS = ["docker.io", "registry.test:5000", "quay.io", "__proto__", "constructor", ""];
const DOCUMENT = {
  auths: {
    "https://index.docker.io/v1/": { auth: btoa(`me:${SECRET}`) },
    "registry.test:5000": { username: "me", password: SECRET, email: "me@test" },
    "quay.io/team": { auth: btoa(`<token>:${SECRET}`) },
    "quay.io": { identitytoken: SECRET, registrytoken: SECRET },
  },
  credsStore: "desktop",
  credHelpers: { "gcr.io": "gcloud" },
  HttpHeaders: { "User-Agent": "Docker-Client" },
};

/** Docker's `config.json` and podman's `auth.json`. */
export const DOCKER_CONFIG: FuzzTarget = {
  name: "docker's config.json",
  outcomes: ["parsed", "CorruptError"],
  cases: 10_000,
  prepare: () => {
    return Promise.resolve({
      run: (random, describe) => {
        let bytes = new TextEncoder().encode(JSON.stringify(DOCUMENT));
        for (let times = 1 + random.below(3); times > 0; times--) bytes = mutateDocument(bytes, random);
        describe(JSON.stringify(new TextDecoder().decode(bytes)));
        return Promise.resolve(parse(bytes));
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  },
};

function parse(bytes: Uint8Array): string {
  try {
    const config = parseDockerConfig(bytes, "/root/.docker/config.json");
    for (const host of [...HOSTS, ...config.hosts]) {
      for (const path of ["", "team", "team/app"]) checkCredential(config.find(host, path)?.credential);
    }
    if (!config.helpers.every((name) => typeof name === "string" && name !== "")) fault("a helper has no name");
    return "parsed";
  } catch (error) {
    return checkError(error, [CorruptError], SECRET);
  }
}

function checkCredential(credential: Credential | undefined): void {
  if (credential === undefined) return;
  const { username, password, identityToken, registryToken } = credential;
  for (const value of [username, password, identityToken, registryToken]) {
    if (value !== undefined && (typeof value !== "string" || value === "")) fault("a field of a login is no text");
  }
  // An anonymous request is no login.
  if ((password ?? identityToken ?? registryToken) === undefined) fault("a login has no secret");
}
