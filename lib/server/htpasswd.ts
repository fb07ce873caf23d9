import { decodeText } from "../oci/to_utf8.ts";
import { createHmac, randomBytes } from "node:crypto";
import { cannot, CrpeError, RegistryError } from "../oci/error.ts";
import { describeSystemError } from "../oci/system_error.ts";

/** A user name and a password. */
export interface Login {
  readonly user: string;
  readonly password: string;
}

/** Options of a `Htpasswd`. */
interface HtpasswdOptions {
  /** Path of the file. */
  readonly path: string;
  /** Called when the changed file cannot be used; the previous content stays in use. */
  readonly warn: (message: string) => void;
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
  /** Compares a password with a bcrypt hash. */
  readonly compare?: (password: string, hash: string) => Promise<boolean>;
}

// A check costs about 100 ms of the one thread. Clients send their login with each of many requests, so an outcome is
// remembered: a wrong one for a while, and a right one as long as the user has the same hash. Users who have logged in
// thus need no check, which guessing could keep them from.
const WRONG_MILLISECONDS = 5000;
const MAX_WRONG = 10_000;
// Checks that wait. They run one at a time, and after a wrong login there is a pause of some times its duration, so that
// guessing passwords leaves most of the thread to others. One client cannot take the places of all others.
const MAX_WAITING = 64;
const MAX_WAITING_OF_CLIENT = 16;
const PAUSE_FACTOR = 3;
const RELOAD_MILLISECONDS = 1000;
// Of bcrypt: a cost below 4 is not defined.
const MIN_COST = 4;
const MAX_COST = 14;
const MAX_FILE_BYTES = 1024 * 1024;
/** The hash of each user. */
type Users = ReadonlyMap<string, string>;

const ENTRY = /^([^:]{1,255}):(\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53})$/;

/** The users and passwords of a file in the format of `htpasswd -B`: `user:hash` on each line, with bcrypt hashes. */
export class Htpasswd {
  readonly #options: HtpasswdOptions;
  readonly #now: () => number;
  readonly #key = randomBytes(32);
  /** The last right login of each user, and the hash that it was compared with. */
  readonly #right = new Map<string, { readonly key: string; readonly hash: string }>();
  /** When each wrong login may be checked again. */
  readonly #wrong = new Map<string, number>();
  readonly #checks = new Map<string, { readonly outcome: Promise<boolean>; readonly client: string | undefined }>();
  #users: Users;
  #stamp: string;
  #checkedAt: number;
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(options: HtpasswdOptions, file: { users: Users; stamp: string }) {
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
   * @param client the address of the client
   * @throws {RegistryError} `UNAVAILABLE`, when too many other logins wait to be checked, or too many of the same client
   */
  async check(login: Login, client?: string): Promise<boolean> {
    await this.#reload();
    // A password is not kept in memory, not even as a hash that is of use elsewhere.
    const key = createHmac("sha256", this.#key).update(JSON.stringify([login.user, login.password])).digest("base64");
    const right = this.#right.get(login.user);
    if (right?.key === key && right.hash === this.#users.get(login.user)) return true;
    if (this.#now() < (this.#wrong.get(key) ?? -Infinity)) return false;
    const running = this.#checks.get(key);
    if (running !== undefined) return await running.outcome;
    this.#checkPlaces(client);
    const outcome = this.#enqueue(key, login).finally(() => this.#checks.delete(key));
    this.#checks.set(key, { outcome, client });
    return await outcome;
  }

  #checkPlaces(client: string | undefined): void {
    const own = client === undefined ? [] : [...this.#checks.values()].filter((check) => check.client === client);
    if (this.#checks.size < MAX_WAITING && own.length < MAX_WAITING_OF_CLIENT) return;
    throw new RegistryError("UNAVAILABLE", cannot("check the login", "too many others are waiting"), { retryAfter: 2 });
  }

  #enqueue(key: string, login: Login): Promise<boolean> {
    const { user } = login;
    const check = this.#queue.then(async () => {
      const hash = this.#users.get(user);
      const isRight = await this.#compare(login, hash);
      // The file may have changed during the check.
      if (this.#users.get(user) !== hash) return isRight;
      if (isRight && hash !== undefined) {
        this.#right.set(user, { key, hash });
      } else {
        if (this.#wrong.size >= MAX_WRONG) this.#wrong.clear();
        this.#wrong.set(key, this.#now() + WRONG_MILLISECONDS);
      }
      return isRight;
    });
    const began = this.#queue.then(() => this.#now());
    this.#queue = Promise.all([check, began]).then(async ([isRight, start]) => {
      if (!isRight) await new Promise((resolve) => setTimeout(resolve, (this.#now() - start) * PAUSE_FACTOR));
    }, () => {});
    return check;
  }

  /**
   * Compares a password with the hash of its user. A wrong login costs the same for every user, known or not, so that
   * its time does not reveal who is known: as much as the most expensive hash of the file. Each cost is twice the one
   * below it, so that one comparison of each cost from that of the hash up to the highest makes up the difference.
   */
  async #compare({ password }: Login, hash: string | undefined): Promise<boolean> {
    const compare = this.#options.compare ?? compareBcrypt;
    const highest = Math.max(...[...this.#users.values()].map(costOf));
    if (hash === undefined) {
      await compare(password, makeHashOfNothing(highest));
      return false;
    }
    if (await compare(password, hash)) return true;
    for (let cost = costOf(hash); cost < highest; cost++) await compare(password, makeHashOfNothing(cost));
    return false;
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
      this.#wrong.clear();
      for (const user of this.#right.keys()) {
        if (!this.#users.has(user)) this.#right.delete(user);
      }
    } catch (error) {
      warn(`Keeping the current logins: ${describeSystemError(error)}`);
    }
  }
}

async function readFile(path: string): Promise<{ users: Users; stamp: string }> {
  const fail = (reason: string, advice?: string) => new CrpeError(cannot(`use the logins in ${path}`, reason, advice));
  const users = new Map<string, string>();
  let stamp: string;
  let text: string;
  try {
    stamp = await stampOf(path);
    if ((await Deno.stat(path)).size > MAX_FILE_BYTES) throw new Error("it is larger than 1 MiB");
    text = decodeText(await Deno.readFile(path), path);
  } catch (error) {
    throw fail(error instanceof Deno.errors.NotFound ? "there is no such file" : describeSystemError(error));
  }
  for (const [i, line] of text.split("\n").entries()) {
    const entry = line.trim();
    if (entry === "" || entry.startsWith("#")) continue;
    const [, user, hash, cost] = ENTRY.exec(entry) ?? [];
    // The line itself is not quoted: it may hold a password.
    if (user === undefined || hash === undefined) {
      throw fail(`line ${i + 1} is not a user with a bcrypt hash`, `create it with htpasswd -B`);
    }
    if (Number(cost) > MAX_COST) {
      throw fail(`line ${i + 1} has a bcrypt cost above ${MAX_COST}, which would block others`);
    }
    if (Number(cost) < MIN_COST) {
      throw fail(`line ${i + 1} has a bcrypt cost below ${MIN_COST}, which bcrypt does not have`);
    }
    users.set(user, hash);
  }
  if (users.size === 0) throw fail("it has no users", "add one with htpasswd -B");
  return { users, stamp };
}

function costOf(hash: string): number {
  return Number(hash.slice(4, 6));
}

// No password has this hash.
function makeHashOfNothing(cost: number): string {
  return `$2b$${String(cost).padStart(2, "0")}$${".".repeat(53)}`;
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
