const REACH = "; --offline avoids the network";

// The patterns match the messages of `TransportError` and of the errors of lib/upstream.
const ADVICE: readonly (readonly [reason: RegExp, advice: string])[] = [
  [/clock/, "set this machine's clock first"],
  [/DNS/, `check the name, and this machine's network and name server${REACH}`],
  [/certificate|TLS/, "name its CA with ca-file in the configuration, or write http:// if it has no TLS"],
  [
    /refuses the (?:login|user name)|this login may not/,
    "correct the user name and the password in the configuration, or in docker's or podman's own file",
  ],
  [
    /denies access|without a login/,
    "check the name; log in to the registry, in the configuration or with docker login",
  ],
  [/limits how often|too often/, "wait, or log in; content in the store is served meanwhile"],
  [/refused|network|in time|within|cut/, `check that the registry runs, and that this machine reaches it${REACH}`],
];

/** Returns advice on the reason for which an upstream request failed. */
export function adviseOn(reason: string): string {
  return ADVICE.find(([pattern]) => pattern.test(reason))?.[1] ?? "check its address (--upstream HOST=URL)";
}
