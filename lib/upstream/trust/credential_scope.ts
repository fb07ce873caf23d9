import { canonicalHostname, isIpLiteral, isPrivateHost } from "./private_address.ts";

// Second-level names under which countries register (`example.co.uk`).
const COUNTRY_SECOND_LEVEL = new Set(
  "ac co com ed edu gen go gob gov gv id ind info ltd me mil ne net nom or org plc sch web".split(" "),
);

// Domains whose subdomains belong to strangers of each other (from the Public Suffix List's private section: hosting
// and storage where a registry, or somebody's trap, may live).
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

// Registries known to have their token server under another registrable domain, or under a shared one.
const KNOWN_PAIRS: readonly (readonly [RegExp, RegExp])[] = [
  [/^(?:registry-1\.|index\.)?docker\.io$/, /^auth\.docker\.io$/],
  [/^lscr\.io$/, /^ghcr\.io$/],
  [/^registry\.([a-z0-9-]+)\.aliyuncs\.com$/, /^dockerauth\.([a-z0-9-]+)\.aliyuncs\.com$/],
];

/**
 * The domain that somebody registered, of which a host is part: `auth.example.co.uk` → `example.co.uk`. Without the
 * Public Suffix List it errs on the narrow side. An address, and a host under a shared domain, stand for themselves.
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
 * Why a token server may not even be asked without a credential, or `undefined` if it may: it must be https (or the
 * registry is plain http too), and a public registry has no business with a private address.
 *
 * @param registry URL of the endpoint whose challenge named the realm
 */
export function whyRealmRefused(registry: URL, realm: URL): string | undefined {
  if (realm.protocol !== "https:" && !(realm.protocol === "http:" && registry.protocol === "http:")) {
    return `${realm.host} is not asked over https`;
  }
  if (realm.username !== "" || realm.password !== "") return "its address carries a user name";
  if (isPrivateHost(realm.hostname) && !isPrivateHost(registry.hostname)) {
    return `${realm.host} is a private address, ${registry.host} a public registry`;
  }
  return undefined;
}

/**
 * Why the credential of a registry must not be sent to a URL, or `undefined` if it may: only to the registry's own
 * host (any port), to its registrable domain, or to the other half of a known pair.
 *
 * @param registry URL of the endpoint that the credential is for
 */
export function whyCredentialWithheld(registry: URL, target: URL): string | undefined {
  const refused = whyRealmRefused(registry, target);
  if (refused !== undefined) return refused;
  const from = canonicalHostname(registry.hostname);
  const to = canonicalHostname(target.hostname);
  if (from === undefined || to === undefined) return "its address cannot be read";
  if (from === to) return undefined;
  const domain = registrableDomain(from);
  if (domain?.includes(".") && domain === registrableDomain(to)) return undefined;
  const isPair = KNOWN_PAIRS.some(([registryHost, realmHost]) => {
    const [a, b] = [registryHost.exec(from), realmHost.exec(to)];
    return a !== null && b !== null && a[1] === b[1];
  });
  return isPair ? undefined : `${target.host} does not belong to ${registry.host}`;
}
