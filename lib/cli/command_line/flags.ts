import type { Flag, Invocation } from "./command.ts";

/** Flags that commands share one by one. */
export const FLAG = {
  data: {
    name: "data",
    value: "DIR",
    summary: "the data folder [$STORAGE_ROOT, $XDG_DATA_HOME/crpe, ~/.local/share/crpe]",
  },
  store: {
    name: "store",
    value: "URL",
    summary: "a bucket instead of the data folder: s3://BUCKET/PREFIX [$CRPE_STORE]",
  },
  deltaEffort: {
    name: "delta-effort",
    value: "EFFORT",
    summary: "how much time deltas may take: fast, normal or max [normal]",
  },
  addr: { name: "addr", value: "HOST:PORT", summary: "where to listen [:6060; $PORT changes the port]" },
  platform: {
    name: "platform",
    value: "LIST",
    summary: "platforms, comma-separated, such as linux/arm64 [$PLATFORMS]",
  },
  manifestsDir: {
    name: "manifests-dir",
    value: "DIR",
    summary: "write the release's manifests into DIR, where k3s picks them up",
  },
  imagesDir: {
    name: "images-dir",
    value: "DIR",
    summary: "write the images as an archive into DIR, from which k3s loads them when it starts",
  },
  releaseNamespace: {
    name: "release-namespace",
    value: "NAME",
    summary: "namespace in which several servers share their releases (with --manifests-dir) [crpe]",
  },
  kubectl: { name: "kubectl", summary: "apply the release's manifests with kubectl, server-side" },
  pruneData: {
    name: "prune-data",
    summary: "delete volumes, claims, StorageClasses, CRDs and Namespaces that leave the package",
  },
  agentToken: { name: "token-file", value: "FILE", summary: "the agent's token" },
  fingerprint: {
    name: "fingerprint",
    value: "SHA256",
    summary: "accept the agent's own certificate by its fingerprint; it is remembered",
  },
  agentCa: { name: "ca-file", value: "FILE", summary: "CA certificates (PEM) to trust for an https agent" },
  insecureHttp: { name: "insecure-http", summary: "send the token unencrypted to another machine" },
  force: { name: "force", summary: "allow a downgrade, a changed version, and replacing a manifest file of others" },
  forceHandover: { name: "force", summary: "replace a manifest file that others wrote or changed" },
  forceConflicts: { name: "force-conflicts", summary: "take over fields that others manage (with --kubectl)" },
  pendingTtl: {
    name: "pending-ttl",
    value: "DURATION",
    summary: "end pending packages of which nothing was received for so long; 0: never [14d]",
  },
  passphraseFile: { name: "passphrase-file", value: "FILE", summary: "the passphrase of the private keys" },
  trustedKeys: {
    name: "trusted-keys",
    value: "FILE|DIR",
    isRepeatable: true,
    summary: "accept only packages signed with these public keys (PEM), or as a policy (YAML) says",
  },
  firstUse: {
    name: "trust-on-first-use",
    summary: "accept only signed packages, and record the keys of a package at its first import",
  },
  noReferrers: {
    name: "no-referrers",
    summary: "leave out what is attached to the images: signatures, attestations, SBOMs",
  },
  verifyImages: {
    name: "verify-images",
    value: "FILE",
    summary: "require of every image a signature by a key in FILE (PEM), as cosign sign --key makes it",
  },
  json: { name: "json", summary: "print the result as one JSON document" },
} satisfies Record<string, Flag>;

/** The flags of every command that may contact an upstream. */
export const UPSTREAM_FLAGS: readonly Flag[] = [
  {
    name: "upstream",
    value: "HOST[=URL]",
    isRepeatable: true,
    summary: "pull through images of HOST, from URL; * allows any public host",
  },
  {
    name: "ca-file",
    value: "HOST=FILE",
    isRepeatable: true,
    summary: "CA certificates (PEM) to trust for HOST, in addition to the default ones",
  },
  {
    name: "insecure",
    value: "HOST",
    isRepeatable: true,
    summary: "use plain HTTP for HOST if HTTPS does not work; for registries on a trusted network",
  },
  { name: "config", value: "FILE", summary: "settings, credentials and CA files, as YAML or JSON" },
  { name: "offline", summary: "never contact an upstream" },
  {
    name: "peer",
    value: "URL",
    isRepeatable: true,
    summary: "take from this other crpe what it holds, before an upstream is asked",
  },
  {
    name: "limit-rate",
    value: "RATE",
    summary: "receive at most so much from all upstreams together, such as 2MiB/s [unlimited]",
  },
  {
    name: "budget",
    value: "LIMIT",
    isRepeatable: true,
    summary: "receive at most so much a day or month, such as 500MiB/day or ghcr.io=10GiB/month",
  },
  {
    name: "window",
    value: "HH:MM-HH:MM",
    isRepeatable: true,
    summary: "use upstreams only in this part of the day (local time), such as 01:00-05:00",
  },
];

/** The flags of every command that serves. */
export const SERVE_FLAGS: readonly Flag[] = [
  {
    name: "discover",
    summary: "find other crpes of the local network by mDNS, and take from them what they hold",
  },
  {
    name: "discover-on",
    value: "INTERFACE",
    summary: "the network interface for --discover, by name or address [the only private one]",
  },
  {
    name: "tag-ttl",
    value: "DURATION",
    summary: "how long a cached tag counts as fresh before the upstream is asked again [5m]",
  },
  {
    name: "redirect",
    summary: "with --store: clients read blobs from the bucket, at URLs that are good for 5 minutes",
  },
  {
    name: "cache-max",
    value: "SIZE",
    summary: "size limit of the store, such as 20GiB; evicts least recently used images [unlimited]",
  },
  {
    name: "max-memory",
    value: "SIZE",
    summary: "limit of buffers and caches; the process itself needs some 80 MiB more [160MiB]",
  },
  {
    name: "host-name",
    value: "NAME",
    isRepeatable: true,
    summary: "answer requests for this name or address too [this machine's names and addresses]",
  },
  {
    name: "no-complete",
    summary: "do not download blobs of pulled images that no client requested",
  },
  {
    name: "scrub",
    value: "DURATION",
    summary: "read the whole store once in this time, slowly, to find corrupt blobs; 0 for never [30d]",
  },
  {
    name: "require-login",
    value: "FILE",
    summary: "serve the registry only to the users in FILE (htpasswd -B)",
  },
  {
    name: "private",
    value: "HOST",
    isRepeatable: true,
    summary: "require a login only for images of HOST (with --require-login)",
  },
  {
    name: "tls-cert",
    value: "FILE",
    summary: "serve https with this certificate (PEM); a renewed file is loaded without a restart",
  },
  { name: "tls-key", value: "FILE", summary: "the certificate's private key (PEM)" },
  { name: "qr", summary: "print the page's address with a one-time code, as a QR code, at the start" },
  { name: "pair", summary: "only print a new one-time code, for a server that is running with the same flags" },
  { name: "no-page", summary: "do not serve the web page" },
  {
    name: "log-format",
    value: "FORMAT",
    values: ["text", "json"],
    summary: "text, or json (one object per line) [text]",
  },
];

/** Reports whether manifests are handed over to the cluster: kubectl applies them, or tells whether k3s did. */
export function isHandedOver(invocation: Invocation): boolean {
  return invocation.isSet("kubectl") || invocation.flag("manifests-dir") !== undefined;
}

/** The flags that name the store. */
export const STORE_FLAGS: readonly Flag[] = [FLAG.data, FLAG.store];

/** The flags that choose how manifests are handed over to the cluster. */
export const HANDOVER_FLAGS: readonly Flag[] = [
  FLAG.manifestsDir,
  FLAG.releaseNamespace,
  FLAG.kubectl,
  FLAG.forceConflicts,
];

/** The flags for manifests that were handed over already. */
export const INSTALLED_HANDOVER_FLAGS: readonly Flag[] = [
  { ...FLAG.manifestsDir, summary: "the folder of the manifests, if not the one used by the import" },
  FLAG.releaseNamespace,
  { ...FLAG.kubectl, summary: "use kubectl, if the import did not" },
  FLAG.forceConflicts,
];

/** How platforms are written, for the help of commands that take them. */
export const PLATFORM_DETAILS = "Platforms are written as linux/amd64, linux/arm64 or linux/arm/v7.";
