import { createHmac, randomBytes } from "node:crypto";

/** A user name and a password. */
export interface Login {
  readonly user: string;
  readonly password: string;
}

/** Options of a `Htpasswd`. */
export interface HtpasswdOptions {
  /** Path of the file. */
  readonly path: string;
  /** Called when the changed file cannot be used; the previous content stays in use. */
  readonly warn: (message: string) => void;
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
  /** Compares a password with a bcrypt hash. */
  readonly compare?: (password: string, hash: string) => Promise<boolean>;
}

/** Thrown when too many unknown logins wait to be checked. */
export class BusyError extends Error {
  override readonly name = "BusyError";
}

// A check costs about 100 ms of the one thread. Clients send their login with each of many requests, so an outcome is
// used for a while: a right one longer than a wrong one, which the file may be changed for.
const RIGHT_MILLISECONDS = 60_000;
const WRONG_MILLISECONDS = 5000;
const MAX_OUTCOMES = 10_000;
// Checks that wait. They run one at a time, and after a wrong login there is a pause of some times its duration, so that
// guessing passwords leaves most of the thread to others.
const MAX_WAITING = 64;
const PAUSE_FACTOR = 3;
const RELOAD_MILLISECONDS = 1000;
const MAX_COST = 14;
const MAX_FILE_BYTES = 1024 * 1024;
// Used for unknown users, so that the time of a check does not reveal who is known. No password has this hash.
const NO_HASH = `$2b$10$${".".repeat(53)}`;
const ENTRY = /^([^:]{1,255}):(\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53})$/;

/** The users and passwords of a file in the format of `htpasswd -B`: `user:hash` on each line, with bcrypt hashes. */
export class Htpasswd {
  readonly #options: HtpasswdOptions;
  readonly #now: () => number;
  readonly #key = randomBytes(32);
  readonly #outcomes = new Map<string, { readonly isRight: boolean; readonly until: number }>();
  readonly #checks = new Map<string, Promise<boolean>>();
  #users: ReadonlyMap<string, string>;
  #stamp: string;
  #checkedAt: number;
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(options: HtpasswdOptions, file: { users: ReadonlyMap<string, string>; stamp: string }) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#users = file.users;
    this.#stamp = file.stamp;
    this.#checkedAt = this.#now();
  }

  /** Reads the file. @throws {Error} when it cannot be read, has no users, or a line that is not `user:bcrypt hash` */
  static async open(options: HtpasswdOptions): Promise<Htpasswd> {
    return new Htpasswd(options, await readFile(options.path));
  }

  /**
   * Checks a login.
   *
   * @throws {BusyError} when too many other logins wait to be checked
   */
  async check(login: Login): Promise<boolean> {
    await this.#reload();
    // A password is not kept in memory, not even as a hash that is of use elsewhere.
    const key = createHmac("sha256", this.#key).update(JSON.stringify([login.user, login.password])).digest("base64");
    const known = this.#outcomes.get(key);
    if (known !== undefined && this.#now() < known.until) return known.isRight;
    const running = this.#checks.get(key);
    if (running !== undefined) return await running;
    if (this.#checks.size >= MAX_WAITING) throw new BusyError("Cannot check the login: too many others are waiting");
    const check = this.#enqueue(key, login).finally(() => this.#checks.delete(key));
    this.#checks.set(key, check);
    return await check;
  }

  #enqueue(key: string, { user, password }: Login): Promise<boolean> {
    const check = this.#queue.then(async () => {
      const hash = this.#users.get(user);
      const compare = this.#options.compare ?? compareBcrypt;
      const isRight = await compare(password, hash ?? NO_HASH) && hash !== undefined;
      if (this.#outcomes.size >= MAX_OUTCOMES) this.#outcomes.clear();
      const until = this.#now() + (isRight ? RIGHT_MILLISECONDS : WRONG_MILLISECONDS);
      // The file may have changed during the check.
      if (this.#users.get(user) === hash) this.#outcomes.set(key, { isRight, until });
      return isRight;
    });
    const began = this.#queue.then(() => this.#now());
    this.#queue = Promise.all([check, began]).then(async ([isRight, start]) => {
      if (!isRight) await new Promise((resolve) => setTimeout(resolve, (this.#now() - start) * PAUSE_FACTOR));
    }, () => {});
    return check;
  }

  async #reload(): Promise<void> {
    if (this.#now() < this.#checkedAt + RELOAD_MILLISECONDS) return;
    this.#checkedAt = this.#now();
    const { path, warn } = this.#options;
    try {
      const stamp = await stampOf(path);
      if (stamp === this.#stamp) return;
      // Remembered at once: a file that cannot be used is reported once.
      this.#stamp = stamp;
      this.#users = (await readFile(path)).users;
      this.#outcomes.clear();
    } catch (error) {
      warn(`Keeping the current logins: ${(error as Error).message}`);
    }
  }
}

async function readFile(path: string): Promise<{ users: ReadonlyMap<string, string>; stamp: string }> {
  const fail = (reason: string) => new Error(`Cannot use the logins in ${path}: ${reason}`);
  const users = new Map<string, string>();
  let stamp: string;
  let text: string;
  try {
    stamp = await stampOf(path);
    if ((await Deno.stat(path)).size > MAX_FILE_BYTES) throw new Error("it is larger than 1 MiB");
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw fail(error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message);
  }
  for (const [i, line] of text.split("\n").entries()) {
    const entry = line.trim();
    if (entry === "" || entry.startsWith("#")) continue;
    const [, user, hash, cost] = ENTRY.exec(entry) ?? [];
    // The line itself is not quoted: it may hold a password.
    if (user === undefined || hash === undefined) {
      throw fail(`line ${i + 1} is not a user with a bcrypt hash; create it with htpasswd -B`);
    }
    if (Number(cost) > MAX_COST) {
      throw fail(`line ${i + 1} has a bcrypt cost above ${MAX_COST}, which would block others`);
    }
    users.set(user, hash);
  }
  if (users.size === 0) throw fail("it has no users; add one with htpasswd -B");
  return { users, stamp };
}

async function stampOf(path: string): Promise<string> {
  const { mtime, size, ino } = await Deno.stat(path);
  return `${mtime?.getTime()} ${size} ${ino}`;
}

async function compareBcrypt(password: string, hash: string): Promise<boolean> {
  // Loaded at the first login: few servers need it.
  const { default: bcrypt } = await import("bcryptjs");
  return await bcrypt.compare(password, hash);
}
