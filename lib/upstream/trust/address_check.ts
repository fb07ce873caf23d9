import { isIpLiteral, isPrivateHost } from "./private_address.ts";

/** The addresses that a name has. It may throw: then the connection will fail by itself. */
export type ResolveHost = (hostname: string) => Promise<readonly string[]>;

/** Tells whether a URL leads to a private address. */
export type AddressCheck = (url: URL) => Promise<boolean>;

/** What an address check is made of. */
export interface AddressCheckOptions {
  /** Absent: only what the host itself says counts. */
  readonly resolveHost?: ResolveHost | undefined;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** How long to wait for the resolver, in milliseconds. */
  readonly timeout?: number;
}

const BELIEVED_FOR = 30_000;
const MAX_REMEMBERED = 500;

/**
 * Tells public hosts from private ones by name, and by the addresses that the name resolves to. It keeps an honest
 * upstream's open door from leading inside; it does not pin the address that the connection then takes, which the
 * runtime's `fetch` gives no hold of.
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
    known.set(hostname, { isPrivate, until: now() + BELIEVED_FOR });
    return await isPrivate;
  };
}

async function anyPrivate(resolveHost: ResolveHost, hostname: string, timeout: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<string[]>((resolve) => timer = setTimeout(() => resolve([]), timeout));
  try {
    // A resolver that fails says nothing of the host; the connection will ask it again and fail with a reason.
    const addresses = await Promise.race([resolveHost(hostname).catch((): string[] => []), late]);
    return addresses.some((address) => isPrivateHost(address));
  } finally {
    clearTimeout(timer);
  }
}
