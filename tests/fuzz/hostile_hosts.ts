import type { Random } from "../support/random.ts";

/**
 * Lists names of this machine and of private networks, in the spellings that programs accept as addresses.
 *
 * @param port the port of a listener on all loopback addresses that must receive no connection
 */
export function privateHosts(port: number): string[] {
  const loopback = [
    "127.0.0.1",
    "localhost",
    "LOCALHOST",
    "127.1",
    "127.0.0.2",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
  ];
  const more = [
    "0x7f.0.0.1",
    "017700000001",
    "0.0.0.0",
    "0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[0:0:0:0:0:0:0:1]",
  ];
  return [
    ...[...loopback, ...more, "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]"].map((host) => `${host}:${port}`),
    ...["169.254.169.254", "169.254.169.254:80", "[fe80::1]", "[fd00::1]:5000", "10.0.0.1", "172.16.0.1:5000"],
    ...["192.168.1.1", "100.64.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0:6443", "127.0.0.1:6443", "[::1]:22"],
  ];
}

/** `Host` headers that are not a valid host. */
export const BAD_HOSTS: readonly string[] = [
  ...[
    "a b",
    "a/v2/_catalog?",
    "a/metrics?",
    "/",
    "a?",
    "a#b",
    "a@b",
    "user:pass@a",
    "a:b",
    "a:123456",
    "a:80:80",
    ":80",
  ],
  ...[
    "[::1",
    "::1",
    "[::1]x",
    "[z]",
    "a\\b",
    "a,b",
    "<a>",
    "a%2fb",
    'a"b',
    "..%2f",
    "é",
    "\x80",
    "a{}",
    "http://a",
    "a;b",
  ],
  ...["a".repeat(300), "a\tb", "*", "a|b", "a^b", "`a`", "$(id)", "a&b", "a=b", "", "a:99999"],
];

/** Valid `Host` headers of real clients. */
export const GOOD_HOSTS: readonly string[] = [
  ...["crpe", "crpe:6060", "127.0.0.1:6060", "[::1]:6060", "my_registry:5000", "registry.lan.", "A.B-c.d", "10.0.0.1"],
  ...["xn--bcher-kva.example", "[fe80::1]", "a:"],
];

/** Chooses text for the place of a host: private, invalid, public or a path. */
export function anyHost(random: Random, privates: readonly string[]): string {
  return random.pick([
    () => random.pick(privates),
    () => random.pick(BAD_HOSTS),
    () => random.pick(["quay.io", "docker.io", "registry.test", "index.docker.io", "a.b", "nobody.invalid:5000"]),
    () => random.pick(["..", ".", "", "%00", "../../etc", "quay.io/../x", "quay.io%2f..", "-", "a..b", ".quay.io"]),
  ])();
}
