import { type AddressClass, classifyHost, innermost, isIpLiteral } from "./private_address.ts";

/**
 * Resolves a name to its addresses. `undefined` means that this machine does not resolve the name itself, because a
 * proxy does. An error means that the addresses are not known.
 */
export type ResolveHost = (hostname: string) => Promise<readonly string[] | undefined>;

/** The class of a URL's host. */
export interface CheckedAddress {
  /** The innermost class of the name and of its addresses. */
  readonly class: AddressClass;
  /** Whether the addresses are known, or need not be. */
  readonly isResolved: boolean;
}

/** Returns the class of a URL's host. */
export type AddressCheck = (url: URL) => Promise<CheckedAddress>;

/** Options of an address check. */
export interface AddressCheckOptions {
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
 * to. It prevents a redirect or a token realm of an honest upstream from reaching the internal network. It does not pin
 * the address of the later connection, because the runtime's `fetch` offers no way to do that.
 */
export function createAddressCheck(options: AddressCheckOptions): AddressCheck {
  const { resolveHost, now, timeout = 2000 } = options;
  const known = new Map<string, { checked: Promise<CheckedAddress>; until: number }>();

  return async ({ hostname }) => {
    const byName = classifyHost(hostname);
    if (byName === "forbidden" || resolveHost === undefined || isIpLiteral(hostname)) {
      return { class: byName, isResolved: true };
    }
    const held = known.get(hostname);
    if (held !== undefined && now() < held.until) return await held.checked;
    if (known.size >= MAX_REMEMBERED) known.clear();
    const checked = resolve(resolveHost, hostname, timeout);
    const entry = { checked, until: now() + RESULT_LIFETIME };
    known.set(hostname, entry);
    const result = await checked;
    // The next check tries again.
    if (!result.isResolved && known.get(hostname) === entry) known.delete(hostname);
    return result;
  };
}

async function resolve(resolveHost: ResolveHost, hostname: string, timeout: number): Promise<CheckedAddress> {
  const byName = classifyHost(hostname);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => timer = setTimeout(() => reject(new Error("late")), timeout));
  try {
    const addresses = await Promise.race([resolveHost(hostname), late]);
    if (addresses?.length === 0) return { class: byName, isResolved: false };
    return { class: innermost([byName, ...(addresses ?? []).map(classifyHost)]), isResolved: true };
  } catch {
    // A resolver that fails or is late says nothing about the address that a connection would use.
    return { class: byName, isResolved: false };
  } finally {
    clearTimeout(timer);
  }
}
