import { isIpLiteral, isPrivateHost } from "./private_address.ts";

/** Resolves a name to its addresses. An error is ignored, because the connection itself then fails. */
export type ResolveHost = (hostname: string) => Promise<readonly string[]>;

/** Reports whether a URL leads to a private address. */
export type AddressCheck = (url: URL) => Promise<boolean>;

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
 * Creates a check that recognizes private hosts by their name and by the addresses that the name resolves to. It
 * prevents a redirect or a token realm of an honest upstream from reaching the internal network. It does not pin the
 * address of the later connection, because the runtime's `fetch` offers no way to do that.
 */
export function createAddressCheck(options: AddressCheckOptions): AddressCheck {
  const { resolveHost, now, timeout = 2000 } = options;
  const known = new Map<string, { isPrivate: Promise<boolean>; until: number }>();

  return async ({ hostname }) => {
    if (isPrivateHost(hostname)) return true;
    if (resolveHost === undefined || isIpLiteral(hostname)) return false;
    const held = known.get(hostname);
    if (held !== undefined && now() < held.until) return await held.isPrivate;
    if (known.size >= MAX_REMEMBERED) known.clear();
    const isPrivate = anyPrivate(resolveHost, hostname, timeout);
    known.set(hostname, { isPrivate, until: now() + RESULT_LIFETIME });
    return await isPrivate;
  };
}

async function anyPrivate(resolveHost: ResolveHost, hostname: string, timeout: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<string[]>((resolve) => timer = setTimeout(() => resolve([]), timeout));
  try {
    // A failed lookup counts as public. The connection repeats the lookup and fails with a reason.
    const addresses = await Promise.race([resolveHost(hostname).catch((): string[] => []), late]);
    return addresses.some((address) => isPrivateHost(address));
  } finally {
    clearTimeout(timer);
  }
}
