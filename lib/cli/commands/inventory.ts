import { readText } from "../../files/read_text.ts";
import { readBounded } from "../../bytes/read_bounded.ts";
import { NodeKey } from "../../install/records/node_key.ts";
import { formatPublicKey } from "../../signature/keys.ts";
import type { Digest } from "../../oci/digest.ts";
import { modelNames } from "../../delta/models/all.ts";
import {
  formatInventory,
  type Inventory,
  INVENTORY_LIMITS,
  parseInventory,
  type StreamedInventory,
  walkInventory,
} from "../../store/inventory.ts";
import { redactText } from "../../upstream/transport/redact.ts";
import { createTransport } from "../../upstream/transport/send_once.ts";
import { describeFailure } from "../../agent/client/agent_error.ts";
import { TransportError } from "../../upstream/transport/transport_error.ts";
import { openUnsizedBody } from "../../upstream/transport/unsized_body.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import { readSettings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { pinByFlags } from "../wiring/connect_agent.ts";
import { cannot, CrpeError, UsageError } from "../../oci/error.ts";

/** `crpe inventory` */
export const COMMAND: CommandDefinition = {
  interrupted: "nothing was changed",
  details: "The list is for crpe pack --have, which leaves content out of a bundle that the site already has.",
  flags: [
    ...STORE_FLAGS,
    { name: "to", value: "URL", summary: "list the content of the agent at URL, such as https://node1:36061" },
    FLAG.fingerprint,
    FLAG.agentCa,
    FLAG.json,
  ],
  examples: [["crpe inventory --data=/srv/crpe > have.json", "list what the site has, for crpe pack --have"]],
  run: runInventory,
};

async function runInventory(invocation: Invocation, io: Io): Promise<number> {
  const [to, caFile] = [invocation.flag("to"), invocation.flag("ca-file")];
  for (const name of ["ca-file", "fingerprint"]) {
    if (to === undefined && invocation.flag(name) !== undefined) {
      throw new UsageError(cannot(`use --${name} without --to`));
    }
  }
  if (to !== undefined && invocation.flag("data") !== undefined) {
    throw new UsageError(cannot("use --to with --data", "choose an agent or a folder"));
  }
  if (to !== undefined && invocation.flag("store") !== undefined) {
    throw new UsageError(cannot("use --to with --store", "choose an agent or a bucket"));
  }
  if (to !== undefined) {
    const address = { url: inventoryUrl(to).href.replace(/\/inventory$/, ""), hasScheme: true };
    const pinned = await pinByFlags(address, { invocation, io, isOptional: caFile !== undefined });
    const { digests, ...more } = await fetchInventory(pinned?.localUrl ?? to, { caFile, shown: pinned?.url });
    await print({ digests: [...digests].sort(), ...more }, io);
    return 0;
  }
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  if (settings.store !== undefined) {
    const { openObjectStore } = await import("../wiring/open_object_store.ts");
    const { walkBlobs } = await import("../../object_store/walk_blobs.ts");
    const { client } = await openObjectStore(settings.store, settings, { io, warn: () => {}, isReading: true });
    await print({ digests: digestsOf(walkBlobs(client)), ...await describeSite(settings.data) }, io);
    return 0;
  }
  const { data } = settings;
  await warnOfData(data, io);
  await print({ digests: walkInventory(data), ...await describeSite(data) }, io);
  return 0;
}

async function describeSite(data: string): Promise<Pick<StreamedInventory, "models" | "publicKey">> {
  const key = await new NodeKey(data).read().catch(() => undefined);
  return { models: modelNames(), publicKey: key && formatPublicKey(key.public) };
}

async function print(inventory: StreamedInventory, io: Io): Promise<void> {
  for await (const piece of formatInventory(inventory)) io.out(piece);
}

async function* digestsOf(blobs: AsyncIterable<{ readonly digest: Digest }>): AsyncGenerator<Digest> {
  for await (const { digest } of blobs) yield digest;
}

// In milliseconds.
const CONNECT_TIMEOUT = 30_000;
const STALL_TIMEOUT = 60_000;

/** The options of `fetchInventory`. */
interface FetchInventoryOptions {
  /** A file with CA certificates (PEM) to trust for the agent. */
  readonly caFile?: string | undefined;
  /** The agent in errors, where `to` is a relay; the URL by default. */
  readonly shown?: string | undefined;
}

/**
 * Fetches the inventory of an agent: the digests of the content in its store.
 *
 * @param to the agent's URL
 * @throws {UsageError} when `to` is not an http(s) URL, or has a user or password
 * @throws {CorruptError} when the response is not an inventory
 * @throws {Error} when the agent cannot be reached, or refuses the request
 */
export async function fetchInventory(to: string, options: FetchInventoryOptions = {}): Promise<Inventory> {
  const { caFile } = options;
  const url = inventoryUrl(to);
  const shown = redactText(options.shown === undefined ? url.href : `${options.shown}/inventory`);
  const client = caFile === undefined ? undefined : Deno.createHttpClient({ caCerts: [await readText(caFile)] });
  try {
    const send = createTransport({ fetch, client, connectTimeout: CONNECT_TIMEOUT });
    const response = await send(new Request(url, { headers: { Accept: "application/json" } }));
    if (response.status !== 200 || response.body === null) {
      await response.body?.cancel();
      const isUnknown = response.status === 404 || response.status === 405;
      const reason = `it answered ${response.status} ${response.statusText}`.trimEnd();
      throw new CrpeError(cannot(`read ${shown}`, reason, isUnknown ? "is it a crpe agent?" : undefined));
    }
    const body = openUnsizedBody(response.body, {
      stallTimeout: STALL_TIMEOUT,
      now: () => performance.now(),
      toError: (error) => error,
    });
    return parseInventory(await readBounded(body, shown, INVENTORY_LIMITS.maxBytes), shown);
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    throw new CrpeError({ action: `read ${shown}`, ...describeFailure(error) }, { cause: error });
  } finally {
    client?.close();
  }
}

function inventoryUrl(to: string): URL {
  const url = URL.canParse(to) ? new URL(to) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    throw new UsageError(
      cannot(`use --to ${JSON.stringify(redactText(to))}`, "write an agent's URL, such as http://node1:36060"),
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new UsageError(cannot("use --to with a user or password in the URL", "an inventory needs none"));
  }
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/inventory`;
  url.hash = "";
  return url;
}
