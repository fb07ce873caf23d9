import { canonicalHostname, isIpLiteral, isPrivateHost } from "./private_address.ts";

// Second-level labels of country domains below which names are registered (`example.co.uk`).
const COUNTRY_SECOND_LEVEL = new Set(
  "ac co com ed edu gen go gob gov gv id ind info ltd me mil ne net nom or org plc sch web".split(" "),
);

// Domains whose subdomains belong to different, unrelated owners. They are from the private section of the Public
// Suffix List: hosting and storage services that can host a registry as well as a malicious server.
const SHARED_SUFFIXES = [
  "aliyuncs.com",
  "amazonaws.com",
  "amazonaws.com.cn",
  "appspot.com",
  "azure-api.net",
  "azurecr.cn",
  "azurecr.io",
  "azurecr.us",
  "azurewebsites.net",
  "backblazeb2.com",
  "blogspot.com",
  "cloudapp.net",
  "cloudflarestorage.com",
  "cloudfront.net",
  "cloudsmith.io",
  "ddns.net",
  "digitaloceanspaces.com",
  "duckdns.org",
  "dyndns.org",
  "eu.org",
  "firebaseapp.com",
  "fly.dev",
  "github.io",
  "githubusercontent.com",
  "gitlab.io",
  "googleapis.com",
  "herokuapp.com",
  "jfrog.io",
  "myqcloud.com",
  "netlify.app",
  "ngrok-free.app",
  "ngrok.app",
  "ngrok.io",
  "nip.io",
  "no-ip.org",
  "onrender.com",
  "pages.dev",
  "pkg.dev",
  "r2.dev",
  "run.app",
  "scw.cloud",
  "sslip.io",
  "trycloudflare.com",
  "ts.net",
  "vercel.app",
  "web.app",
  "windows.net",
  "workers.dev",
];

// Registries whose token server is known to be under another registrable domain, or under a shared one.
const KNOWN_PAIRS: readonly (readonly [RegExp, RegExp])[] = [
  [/^(?:registry-1\.|index\.)?docker\.io$/, /^auth\.docker\.io$/],
  [/^lscr\.io$/, /^ghcr\.io$/],
  [/^registry\.([a-z0-9-]+)\.aliyuncs\.com$/, /^dockerauth\.([a-z0-9-]+)\.aliyuncs\.com$/],
];

/**
 * Returns the registered domain of a host: `auth.example.co.uk` → `example.co.uk`. An IP address, and a host under a
 * shared domain, are returned as they are; `undefined` means that the host is not valid. The complete Public Suffix
 * List is not used; the result errs on the narrow side.
 */
export function registrableDomain(host: string): string | undefined {
  const hostname = canonicalHostname(host);
  if (hostname === undefined || isIpLiteral(hostname)) return hostname;
  const labels = hostname.split(".");
  const shared = SHARED_SUFFIXES.find((suffix) => hostname === suffix || hostname.endsWith(`.${suffix}`));
  if (shared !== undefined) return hostname;
  const [second = "", top = ""] = labels.slice(-2);
  const width = top.length === 2 && COUNTRY_SECOND_LEVEL.has(second) ? 3 : 2;
  return labels.slice(-width).join(".");
}

/**
 * Returns the reason why a token server must not be contacted, even without a credential; `undefined` when it may be.
 * The realm must use https, unless the registry uses plain http too, and a public registry must not use a private
 * address.
 *
 * @param registry the URL of the endpoint whose challenge has the realm
 */
export function whyRealmRefused(registry: URL, realm: URL): string | undefined {
  if (realm.protocol !== "https:" && !(realm.protocol === "http:" && registry.protocol === "http:")) {
    return `${realm.host} does not use https`;
  }
  if (realm.username !== "" || realm.password !== "") return "its URL has a user name or a password";
  if (isPrivateHost(realm.hostname) && !isPrivateHost(registry.hostname)) {
    return `${realm.host} is a private address, but ${registry.host} is a public registry`;
  }
  return undefined;
}

/**
 * Returns the reason why the credential of a registry must not be sent to a URL; `undefined` when it may be. It may be
 * sent only to the registry's own host (any port), to its registrable domain, or to the token server of a known pair.
 *
 * @param registry the URL of the endpoint that the credential belongs to
 */
export function whyCredentialWithheld(registry: URL, target: URL): string | undefined {
  const refused = whyRealmRefused(registry, target);
  if (refused !== undefined) return refused;
  const from = canonicalHostname(registry.hostname);
  const to = canonicalHostname(target.hostname);
  if (from === undefined || to === undefined) return "its host is not valid";
  if (from === to) return undefined;
  const domain = registrableDomain(from);
  if (domain?.includes(".") && domain === registrableDomain(to)) return undefined;
  const isPair = KNOWN_PAIRS.some(([registryHost, realmHost]) => {
    const [a, b] = [registryHost.exec(from), realmHost.exec(to)];
    return a !== null && b !== null && a[1] === b[1];
  });
  return isPair ? undefined : `${target.host} does not belong to ${registry.host}`;
}
