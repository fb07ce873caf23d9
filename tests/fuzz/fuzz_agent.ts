import { PackageRecords } from "../../lib/install/package_records.ts";
import type { KubePkg } from "../../lib/kubepkg/kubepkg.ts";
import { formatCanonicalJson } from "../../lib/kubepkg/version.ts";
import { type CrpeProcess, startCrpe } from "../support/crpe_process.ts";
import { type BundleSeed, makeBundleSeeds, tarOf, TRUSTED_KEY } from "./bundle_seeds.ts";
import { checkStore, hashOfFile, listFiles } from "./check_store.ts";
import { type Finding, type FuzzBundlesResult, MAX_MEMORY } from "./fuzz_bundles.ts";
import { type BundleCase, mutateBundle } from "./mutate_bundle.ts";
import { readProcess } from "./read_process.ts";

/** Which cases to run, and where. */
export interface FuzzAgentOptions {
  /** The seed of all cases. */
  readonly seed: number;
  /** The number of the first case. */
  readonly first?: number;
  readonly count: number;
  /** The only folder that is written to; it exists and is empty. */
  readonly folder: string;
  readonly onCase?: (number: number) => void;
}

interface Answer {
  readonly status: number;
  /** `imported`, `nothing to do`, or the code of the error. */
  readonly outcome: string;
  readonly message: string;
}

/** The statuses of a refusal. Another one, such as 500, is a fault. */
const REFUSALS = [400, 403, 409, 411, 413, 415, 422, 424, 507];
const MAX_MESSAGE = 4000;

/**
 * Sends mutated signed bundles to a running agent that trusts the key of the seeds. Only a package that this key has
 * signed may become visible; what is refused changes nothing that a client, the cluster or a listing sees.
 */
export async function fuzzAgent(options: FuzzAgentOptions): Promise<FuzzBundlesResult> {
  const { seed, first = 0, count, folder, onCase } = options;
  const seeds = await makeBundleSeeds(true);
  await Deno.mkdir(`${folder}/manifests`);
  await Deno.writeTextFile(`${folder}/trusted.pub`, TRUSTED_KEY);
  const flags = ["--addr=127.0.0.1:0", "--tls-addr=off", "--data=site", "--manifests-dir=manifests", "--offline"];
  const findings: Finding[] = [];
  const table: Record<string, number> = {};
  await using agent = await startCrpe(["agent", ...flags, "--trusted-keys=trusted.pub"], {
    cwd: folder,
    env: { HOME: folder },
  });
  const site = new FuzzedAgent(folder, agent);
  const signed = new Map<string, string>();
  for (const it of seeds.seeds) {
    await site.prepare("base", it, seeds.base);
    await site.send(tarOf(it));
    signed.set(it.name, await site.readPackage());
    await site.clear();
  }
  for (let number = first; number < first + count; number++) {
    onCase?.(number);
    const bundle = mutateBundle(seeds, seed, number);
    let outcome = "FINDING";
    try {
      outcome = await site.run(bundle, { base: seeds.base, signed: signed.get(bundle.seed.name)! });
      if (number % 200 === 199) checkStore(`${folder}/site`, fail);
    } catch (error) {
      findings.push({ number, seed: bundle.seed.name, what: bundle.what, message: String(error) });
    }
    for (const key of [`${bundle.level}\t${outcome}`, `${bundle.seed.name}\t${outcome}`]) {
      table[key] = (table[key] ?? 0) + 1;
    }
  }
  const ofAll = (message: string) => findings.push({ number: first, seed: "all", what: "all cases", message });
  const { peak, openFiles } = readProcess(agent.pid);
  const left = openFiles.filter((path) => path.startsWith(folder) && !path.endsWith(".lock"));
  if (left.length > 0) ofAll(`files are still open: ${left.join(", ")}`);
  if (peak > MAX_MEMORY) ofAll(`${peak} bytes of memory were in use`);
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => !name.startsWith("."));
  if (names.sort().join() !== "manifests,site,trusted.pub") ofAll(`the folder of the run has ${names}`);
  return { findings, table, peakMemory: peak };
}

/** An agent, and what is installed there. */
class FuzzedAgent {
  readonly #folder: string;
  readonly #agent: CrpeProcess;
  readonly #token: string;
  /** `nothing`, `base`, or the name of a seed. */
  #installed = "nothing";

  constructor(folder: string, agent: CrpeProcess) {
    this.#folder = folder;
    this.#agent = agent;
    this.#token = Deno.readTextFileSync(`${folder}/site/kubepkg/.token`).trim();
  }

  /** Sends a case, and checks what is visible afterwards. @param signed the package of its seed, as JSON */
  async run(
    bundle: BundleCase,
    { base, signed }: { readonly base: Uint8Array<ArrayBuffer>; readonly signed: string },
  ): Promise<string> {
    await this.prepare(bundle.before, bundle.seed, base);
    const before = this.#readVisible();
    const { status, outcome, message } = await this.send(bundle.bytes, bundle.force);
    if (status === 200 && outcome === "imported") {
      this.#installed = "unknown";
      if (await this.readPackage() !== signed) fail("a package was imported that the key has not signed");
      this.#installed = bundle.seed.name;
      return outcome;
    }
    if (status !== 200 && !REFUSALS.includes(status)) fail(`it was answered ${status}: ${message}`);
    // deno-lint-ignore no-control-regex
    if (/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/.test(message) || message.length > MAX_MESSAGE) {
      fail(`its message cannot be printed as one line: ${JSON.stringify(message)}`);
    }
    const after = this.#readVisible();
    const changed = [...new Set([...before.keys(), ...after.keys()])].filter((it) => before.get(it) !== after.get(it));
    if (changed.length > 0) fail(`${JSON.stringify(changed.slice(0, 5))} changed after ${outcome}`);
    const isExpected = outcome === "nothing to do" || (bundle.seed.needsBase && bundle.before === "nothing");
    if (bundle.level === "none" && !isExpected) fail(`an unchanged bundle was answered ${status}: ${message}`);
    return outcome;
  }

  /** Sends a bundle. A partial file of another case may make a second attempt necessary. */
  async send(bytes: Uint8Array<ArrayBuffer>, force = false): Promise<Answer> {
    const answer = await this.#put(bytes, force);
    return answer.status === 503 ? await this.#put(bytes, force) : answer;
  }

  /** Brings about what has to be installed before a case. */
  async prepare(before: BundleCase["before"], seed: BundleSeed, base: Uint8Array<ArrayBuffer>): Promise<void> {
    const wanted = before === "itself" ? seed.name : before;
    if (wanted === this.#installed) return;
    if (this.#installed !== "nothing") await this.clear();
    if (before === "base" || (before === "itself" && seed.needsBase)) await this.#install(base);
    if (before === "itself") await this.#install(tarOf(seed));
    this.#installed = wanted;
  }

  /** Removes all packages and their content, as a site that is set up anew. The agent keeps nothing of it in memory. */
  async clear(): Promise<void> {
    this.#installed = "unknown";
    const site = `${this.#folder}/site`;
    await Deno.remove(`${site}/docker`, { recursive: true });
    for (const folder of [`${site}/kubepkg`, `${site}/ingest`, `${this.#folder}/manifests`]) {
      // The lock files are those of the agent; what begins with a dot are its token and keys.
      const names = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => !/^\.|\.lock$/.test(name));
      for (const name of names) await Deno.remove(`${folder}/${name}`, { recursive: true });
    }
    this.#installed = "nothing";
  }

  /** Reads the record of the installed package, as canonical JSON. */
  async readPackage(): Promise<string> {
    const kept = await new PackageRecords(`${this.#folder}/site`).read({ namespace: "default", name: "line4" });
    return formatCanonicalJson(kept as KubePkg);
  }

  async #install(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const { status, message } = await this.send(bytes, true);
    if (status !== 200) fail(`a good bundle was answered ${status}: ${message}`);
  }

  async #put(body: Uint8Array<ArrayBuffer>, force: boolean): Promise<Answer> {
    const response = await fetch(`${this.#agent.url}/kubepkgs${force ? "?force" : ""}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${this.#token}` },
      body,
    });
    const text = await response.text();
    const { errors: [error] = [], imported, repaired } = JSON.parse(text) as {
      errors?: { code: string; message: string }[];
      imported?: boolean;
      repaired?: boolean;
    };
    if (error !== undefined) return { status: response.status, outcome: error.code, message: error.message };
    return { status: response.status, outcome: imported || repaired ? "imported" : "nothing to do", message: "" };
  }

  /** Hashes everything that a client, the cluster or a listing sees. */
  #readVisible(): Map<string, string> {
    const isVisible = (name: string) => {
      if (name.startsWith("manifests/") || name.includes("/_manifests/")) return true;
      return name.startsWith("site/kubepkg/") && !name.endsWith("/pending.json");
    };
    const names = [
      ...listFiles(`${this.#folder}/site`).map((name) => `site/${name}`),
      ...listFiles(`${this.#folder}/manifests`).map((name) => `manifests/${name}`),
    ];
    return new Map(names.filter(isVisible).map((name) => [name, hashOfFile(`${this.#folder}/${name}`)]));
  }
}

function fail(message: string): never {
  throw new Error(message);
}
