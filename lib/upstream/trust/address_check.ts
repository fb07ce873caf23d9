import { withinTime } from "../../bytes/within_time.ts";
import { type AddressClass, classifyHost, innermost, isIpLiteral } from "./private_address.ts";

/**
 * Resolves the name of a URL's host to its addresses. `undefined` means that this machine does not resolve the name
 * itself, because a proxy does. An error means that the addresses are not known.
 */
export type ResolveHost = (url: URL) => Promise<readonly string[] | undefined>;

/** The class of a URL's host. */
export interface CheckedAddress {
  /** The innermost class of the name and of its addresses. */
  readonly class: AddressClass;
  /** Whether the addresses are known, or need not be. */
  readonly isResolved: boolean;
  /** The addresses of which the class was determined; absent for an IP address and where a proxy resolves the name. */
  readonly addresses?: readonly string[];
}

/** Returns the class of a URL's host. */
export type AddressCheck = (url: URL) => Promise<CheckedAddress>;

/** Options of an address check. */
interface AddressCheckOptions {
  /** Default: names are not resolved, and only the host itself is checked. */
  readonly resolveHost?: ResolveHost | undefined;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** Time-out of the resolver, in milliseconds. Default: 2000. */
  readonly timeout?: number;
}

const RESULT_LIFETIME = 30_000;
const MAX_REMEMBERED = 500;

/**
 * Creates a check that recognizes hosts that are not public by their name and by the addresses that the name resolves
 * to. It prevents a redirect or a token realm of an honest upstream from reaching the internal network. The connection
 * is made to the addresses that were checked; see `createConnectionGuard`.
 */
export function createAddressCheck(options: AddressCheckOptions): AddressCheck {
  const { resolveHost, now, timeout = 2000 } = options;
  const known = new Map<string, { checked: Promise<CheckedAddress>; until: number }>();

  return async (url) => {
    const { protocol, hostname } = url;
    const byName = classifyHost(hostname);
    if (byName === "forbidden" || resolveHost === undefined || isIpLiteral(hostname)) {
      return { class: byName, isResolved: true };
    }
    // The environment may name a proxy for one of the protocols only.
    const key = `${protocol}//${hostname}`;
    const held = known.get(key);
    if (held !== undefined && now() < held.until) return await held.checked;
    if (known.size >= MAX_REMEMBERED) known.clear();
    const checked = resolve(resolveHost, url, timeout);
    const entry = { checked, until: now() + RESULT_LIFETIME };
    known.set(key, entry);
    const result = await checked;
    // The next check tries again.
    if (!result.isResolved && known.get(key) === entry) known.delete(key);
    return result;
  };
}

async function resolve(resolveHost: ResolveHost, url: URL, timeout: number): Promise<CheckedAddress> {
  const byName = classifyHost(url.hostname);
  // A resolver that fails or is late says nothing about the address that a connection would use.
  const answer = resolveHost(url).then((addresses) => ({ addresses }), () => undefined);
  const found = await withinTime(answer, timeout);
  if (found === undefined || found.addresses?.length === 0) return { class: byName, isResolved: false };
  const { addresses } = found;
  if (addresses === undefined) return { class: byName, isResolved: true };
  return { class: innermost([byName, ...addresses.map(classifyHost)]), isResolved: true, addresses };
}
