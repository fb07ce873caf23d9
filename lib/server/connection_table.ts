/** Limits of connections, and their time-outs in milliseconds. */
export interface ConnectionLimits {
  /** Maximum number of concurrent connections; it is lowered when the system does not allow that many open files. */
  readonly max: number;
  /** Until the head of the first request is received; with TLS, from before the handshake. */
  readonly headTimeout: number;
  /** From a response until the head of the next request is received. */
  readonly idleTimeout: number;
  /**
   * When there are too many connections, one whose client has not read for this long may be closed, and a request that
   * has waited this long for its response may be answered with 503.
   */
  readonly patience: number;
  /** The same, for a client address that has more than a quarter of all connections. */
  readonly crowdPatience: number;
  /** How long a request on a connection beyond the limit waits for room, before it is answered with 503. */
  readonly roomTimeout: number;
}

/** Why a connection was closed, or a request refused, to stay within the limits. */
export type ShedReason = "idle" | "slow-reader" | "waiting" | "connections" | "streams" | "memory";

/** A connection that is being served. */
export interface ServedConnection {
  /** The IP address of the client. */
  readonly address: string;
  /** Closes the connection at once. */
  readonly close: () => void;
  /** Whether it is beyond the limit: then it is only answered when there is room, except for health checks. */
  isExtra: boolean;
  isClosed: boolean;
  /** Number of requests whose response is not completely sent. */
  active: number;
  /** Number of these requests that wait for the client to read. */
  waiting: number;
  /** Answers the request whose response has not started with 503; absent when there is none that may be refused. */
  refuse: (() => void) | undefined;
  hasAnswered: boolean;
  /** Time of the last change of state, in milliseconds of the monotonic clock. */
  since: number;
}

/** Reports what a response is waiting for: the client, which has not read what was sent, or the server. */
export type OnBackpressure = (waitsForClient: boolean) => void;

const MIN_CONNECTIONS = 16;
// A client gets this much time to send its request before its connection counts as idle.
const NEW_MILLISECONDS = 500;
const CROWD_SHARE = 4;
// A connection beyond the limit may wait this long before it makes way for another one.
const EXTRA_MILLISECONDS = 500;
// HTTP/1.1 has one request in progress at a time. A connection with more of them has begun HTTP/2, which is not offered.
const MAX_CONCURRENT = 4;

/** The open connections, and which of them is closed when there are too many. */
export class ConnectionTable {
  readonly #connections = new Set<ServedConnection>();
  readonly #ofAddress = new Map<string, number>();
  readonly #limits: ConnectionLimits;
  readonly #now: () => number;
  readonly #onShed: (reason: ShedReason) => void;
  #limit: number;
  /** The limit now, which is lower after too many files were open. */
  #max: number;
  /** Open connections within the limit, and beyond it. A connection that was closed counts no longer. */
  #counts = { within: 0, extra: 0 };
  #active = 0;

  constructor(limits: ConnectionLimits, { now, onShed }: { now: () => number; onShed: (reason: ShedReason) => void }) {
    this.#limits = limits;
    this.#limit = this.#max = limits.max;
    this.#now = now;
    this.#onShed = onShed;
  }

  /** The number of open connections. */
  get size(): number {
    return this.#connections.size;
  }

  /** Whether there are as many connections as the limit allows. */
  get isFull(): boolean {
    return this.#counts.within >= this.#max;
  }

  /** The number of open connections beyond the limit. */
  get extra(): number {
    return this.#counts.extra;
  }

  /** The number of connections that were closed and have not ended yet. */
  get closing(): number {
    return this.#connections.size - this.#counts.within - this.#counts.extra;
  }

  [Symbol.iterator](): Iterator<ServedConnection> {
    return this.#connections.values();
  }

  /** Adds a connection. Without room for it, it is beyond the limit. */
  add(address: string, close: () => void): ServedConnection {
    const connection: ServedConnection = {
      ...{ address, close, isExtra: !this.makeRoom(), isClosed: false, active: 0, waiting: 0, refuse: undefined },
      ...{ hasAnswered: false, since: this.#now() },
    };
    this.#counts[connection.isExtra ? "extra" : "within"]++;
    this.#connections.add(connection);
    this.#ofAddress.set(address, (this.#ofAddress.get(address) ?? 0) + 1);
    return connection;
  }

  delete(connection: ServedConnection): void {
    if (!this.#connections.delete(connection)) return;
    this.#uncount(connection);
    const left = this.#ofAddress.get(connection.address)! - 1;
    if (left === 0) this.#ofAddress.delete(connection.address);
    else this.#ofAddress.set(connection.address, left);
  }

  /** Reports whether a connection has room within the limit; makes room if another one can be closed. */
  admit(connection: ServedConnection): boolean {
    if (!connection.isExtra) return true;
    if (connection.isClosed || !this.makeRoom()) return false;
    connection.isExtra = false;
    this.#counts.extra--;
    this.#counts.within++;
    return true;
  }

  /** Reports whether a connection has too many concurrent requests. */
  isCrowded({ active }: ServedConnection): boolean {
    return active > MAX_CONCURRENT || (active > 1 && this.#active > this.#max);
  }

  /** Counts a request in. @param completed settles when its response was sent */
  begin(connection: ServedConnection, completed: Promise<void>): OnBackpressure {
    connection.active++;
    this.#active++;
    connection.since = this.#now();
    let [isWaiting, isOver] = [false, false];
    const onBackpressure = (waitsForClient: boolean) => {
      if (isOver) return;
      if (waitsForClient !== isWaiting) connection.waiting += waitsForClient ? 1 : -1;
      isWaiting = waitsForClient;
      connection.since = this.#now();
    };
    const end = () => {
      onBackpressure(false);
      isOver = true;
      this.#active--;
      connection.active--;
      connection.hasAnswered = true;
    };
    completed.then(end, end);
    return onBackpressure;
  }

  /** Closes the connections that have not sent a request in time. */
  sweep(): void {
    const now = this.#now();
    const { headTimeout, idleTimeout } = this.#limits;
    for (const connection of this.#connections) {
      const { active, hasAnswered, since } = connection;
      if (active === 0 && now - since >= (hasAnswered ? idleTimeout : headTimeout)) this.close(connection);
    }
    // The system may allow more open files again.
    if (this.#max < this.#limit) this.#max++;
  }

  /** Sets the limit. */
  limit(max: number): void {
    this.#limit = max;
    this.#max = Math.min(this.#max, max);
    this.#shrink();
  }

  #shrink(): void {
    for (let excess = this.#counts.within - this.#max; excess > 0 && this.makeRoom(); excess--);
  }

  /** Lowers the limit for some time, after the system has refused to open another file. Each pull needs open files too. */
  lower(): void {
    // The size includes connections beyond the limit: half of it may be more than the limit.
    this.#max = Math.min(this.#max, Math.max(MIN_CONNECTIONS, Math.floor(this.#connections.size / 2)));
    this.#shrink();
  }

  /** Closes the connection whose client has not read for the longest time. @returns whether there was one */
  closeStalled(): boolean {
    return this.#shed("slow-reader", ({ active, waiting }) => active > 0 && waiting === active, "patience");
  }

  /** Closes a connection, and gives its room away at once. */
  close(connection: ServedConnection): void {
    if (connection.isClosed) return;
    this.#uncount(connection);
    connection.close();
  }

  /** Refuses the connection beyond the limit that has waited longest. @returns whether there was one */
  refuseExtra(): boolean {
    const before = this.#now() - EXTRA_MILLISECONDS;
    // They are in the order in which they were accepted.
    const oldest = this.#connections.values().find(({ isExtra, isClosed }) => isExtra && !isClosed);
    if (oldest === undefined || oldest.since > before) return false;
    this.#onShed("connections");
    this.#uncount(oldest);
    if (oldest.refuse === undefined) oldest.close();
    else oldest.refuse();
    return true;
  }

  #uncount(connection: ServedConnection): void {
    if (connection.isClosed) return;
    connection.isClosed = true;
    this.#counts[connection.isExtra ? "extra" : "within"]--;
  }

  /**
   * Reports whether there is room for another connection, if need be by closing one: one without a request, or one whose
   * client does not read. If there is none, the request that has waited longest is refused, and there is room soon.
   */
  makeRoom(): boolean {
    if (!this.isFull) return true;
    if (this.#shed("idle", ({ active }) => active === 0, NEW_MILLISECONDS) || this.closeStalled()) return true;
    this.#shed("waiting", ({ refuse }) => refuse !== undefined, "patience");
    return false;
  }

  /** Closes, or refuses, the connection of a kind whose state has not changed for the longest time. */
  #shed(reason: ShedReason, isOf: (it: ServedConnection) => boolean, after: number | "patience"): boolean {
    const now = this.#now();
    let oldest: ServedConnection | undefined;
    for (const connection of this.#connections) {
      if (connection.isClosed || connection.isExtra || !isOf(connection)) continue;
      const least = after === "patience" ? this.#patienceFor(connection) : after;
      if (now - connection.since < least) continue;
      if (oldest === undefined || connection.since < oldest.since) oldest = connection;
    }
    if (oldest === undefined) return false;
    this.#onShed(reason);
    if (reason === "waiting") oldest.refuse!();
    else this.close(oldest);
    return true;
  }

  #patienceFor({ address }: ServedConnection): number {
    const isCrowd = this.#ofAddress.get(address)! * CROWD_SHARE > this.#max;
    return isCrowd ? this.#limits.crowdPatience : this.#limits.patience;
  }
}
