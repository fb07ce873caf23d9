/** The name by which the instances of crpe call themselves in `Via`, before their identity. */
const PSEUDONYM = "crpe-";

// More instances than this in one chain are a loop of which each instance has several identities.
const MAX_HOPS = 8;
// A longer header is not passed on. A loop still ends, because each instance adds itself again.
const MAX_LENGTH = 2048;

/**
 * Formats the `Via` header (RFC 9110, 7.6.3) of a request that is made to answer another one.
 *
 * @param received the `Via` of the request that is being answered, if there is one
 * @param id the identity of this instance
 */
export function formatVia(received: string | null | undefined, id: string): string {
  const own = `1.1 ${PSEUDONYM}${id}`;
  return received === null || received === undefined || received === "" || received.length > MAX_LENGTH
    ? own
    : `${received}, ${own}`;
}

/**
 * Reports whether a request with this `Via` header is part of a loop: it has passed this instance before, or more
 * instances of crpe than any sensible chain of caches has.
 */
export function isLoop(via: string | null, id: string): boolean {
  if (via === null) return false;
  const names = via.split(",").map((entry) => entry.trim().split(/\s+/)[1] ?? "");
  const hops = names.filter((name) => name.startsWith(PSEUDONYM));
  return hops.includes(`${PSEUDONYM}${id}`) || hops.length >= MAX_HOPS;
}
