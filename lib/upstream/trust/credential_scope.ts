import { canonicalHostname, isIpLiteral } from "./private_address.ts";

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
  [/^nvcr\.io$/, /^authn\.nvidia\.com$/],
  // Alibaba: the public registries, the instances of enterprises, and personal instances.
  [/^registry(?:-vpc|-internal)?\.([a-z0-9-]+)\.aliyuncs\.com$/, /^dockerauth(?:-vpc)?\.([a-z0-9-]+)\.aliyuncs\.com$/],
  [
    /^[a-z0-9-]+-registry(?:-vpc)?\.([a-z0-9-]+)\.cr\.aliyuncs\.com$/,
    /^dockerauth-ee(?:-vpc)?\.([a-z0-9-]+)\.aliyuncs\.com$/,
  ],
  [/^crpi-[a-z0-9-]+\.([a-z0-9-]+)\.personal\.cr\.aliyuncs\.com$/, /^dockerauth\.([a-z0-9-]+)\.aliyuncs\.com$/],
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
 * The realm must use https, unless the registry uses plain http too. `whyAddressRefused` checks its address.
 *
 * @param registry the URL of the endpoint whose challenge has the realm
 */
export function whyRealmRefused(registry: URL, realm: URL): string | undefined {
  if (realm.protocol !== "https:" && !(realm.protocol === "http:" && registry.protocol === "http:")) {
    return `${realm.host} does not use https`;
  }
  return realm.username !== "" || realm.password !== "" ? "its URL has a user name or a password" : undefined;
}

/**
 * Returns the reason why the credential of a registry must not be sent to a URL; `undefined` when it may be. It may be
 * sent only to the registry's own host (any port), to its registrable domain, to the token server of a known pair, and
 * to the hosts that the configuration names.
 *
 * @param registry the URL of the endpoint that the credential belongs to
 * @param tokenHosts hosts of token servers that the configuration names for this registry
 */
export function whyCredentialWithheld(
  registry: URL,
  target: URL,
  tokenHosts: readonly string[] = [],
): string | undefined {
  const refused = whyRealmRefused(registry, target);
  if (refused !== undefined) return refused;
  const from = canonicalHostname(registry.hostname);
  const to = canonicalHostname(target.hostname);
  if (from === undefined || to === undefined) return "its host is not valid";
  if (from === to || isNamedHost(tokenHosts, target)) return undefined;
  const domain = registrableDomain(from);
  if (domain?.includes(".") && domain === registrableDomain(to)) return undefined;
  const isPair = KNOWN_PAIRS.some(([registryHost, realmHost]) => {
    const [a, b] = [registryHost.exec(from), realmHost.exec(to)];
    return a !== null && b !== null && a[1] === b[1];
  });
  if (isPair) return undefined;
  return `${target.host} does not belong to ${registry.host}; if it does, name it in token-hosts of the configuration`;
}

/** Reports whether a list of hosts names the host of a URL, with its port or without any. */
export function isNamedHost(hosts: readonly string[], { host, hostname }: URL): boolean {
  return hosts.some((each) => each.toLowerCase() === host || each.toLowerCase() === hostname);
}
