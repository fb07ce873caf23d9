import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import { ApiTokens } from "../../lib/agent/check_token.ts";
import { createAgentHandler } from "../../lib/agent/handler.ts";
import type { AgentOptions, ImportReport } from "../../lib/agent/options.ts";
import { packBundle } from "./pack_bundle.ts";
import { FolderHandover } from "../../lib/install/handover/folder_handover.ts";
import { PackageRecords } from "../../lib/install/package_records.ts";
import { parseKubePkg } from "../../lib/kubepkg/parse_kubepkg.ts";
import type { Digest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import type { BuiltImage } from "./images.ts";
import { makeKubePkg } from "./kubepkg.ts";
import { MemoryStore } from "./memory_store.ts";
import { writeImage } from "./put_image.ts";
import { TestFolder } from "./test_folder.ts";

/** The token of the agents in tests. */
export const TOKEN = "a-token-of-a-test";

const BASE = "http://agent.test:36060";

/** Options of a request. Every method except GET and HEAD sends the token, unless `token` is given. */
export interface AskOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: BodyInit;
  /** Another token; `undefined` sends none. */
  readonly token?: string | undefined;
}

/**
 * Creates an agent without a socket, and records its reports and errors.
 *
 * @param dir the parent of its folder, by default the system's folder for temporary files
 */
export async function createAgentHandlerFixture(options: Partial<AgentOptions> = {}, dir?: string) {
  const folder = await TestFolder.create(dir);
  await Deno.mkdir(`${folder.path}/manifests`);
  const data = `${folder.path}/data`;
  const [store, records] = [new DiskStore(data), new PackageRecords(data)];
  const reports: ImportReport[] = [];
  const errors: unknown[] = [];
  let leases = 0;
  const handler = createAgentHandler({
    store,
    records,
    handover: new FolderHandover(`${folder.path}/manifests`),
    node: { id: "node-7", platforms: ["linux/arm64", "linux/amd64"] },
    tokens: new ApiTokens(TOKEN),
    isOwnHost: (host) => host === new URL(BASE).hostname,
    maxBundle: undefined,
    freeBytes: () => Promise.resolve(undefined),
    takeLease: () => {
      leases++;
      return Promise.resolve({ [Symbol.dispose]: () => void leases-- });
    },
    listInventory: () => Promise.resolve([]),
    describeError: (error) => (error as Error).message,
    onImport: (report) => reports.push(report),
    onPushed: () => {},
    onError: (error) => errors.push(error),
    now: () => performance.now(),
    stallTimeout: 10_000,
    ...options,
  });
  return {
    folder,
    store,
    records,
    reports,
    errors,
    /** How many leases are held. */
    leases: () => leases,
    ask(path: string, { method = "GET", headers = {}, body, ...rest }: AskOptions = {}): Promise<Response> {
      const token = "token" in rest ? rest.token : method === "GET" || method === "HEAD" ? undefined : TOKEN;
      const authorization: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
      return handler(
        new Request(`${BASE}${path}`, {
          method,
          headers: { ...authorization, ...headers },
          ...(body === undefined ? {} : { body }),
        }),
      );
    },
    /** Lists all files except locks. */
    listFiles: async () => (await folder.listFiles()).filter((name) => !name.endsWith(".lock")),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** Packs a bundle of one image. */
export async function makeBundle(
  image: BuiltImage,
  { version = "1.0.0", repo = "registry.test/app", have = [] }: {
    version?: string;
    repo?: string;
    /** Digests to leave out. */
    have?: readonly Digest[];
  } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const store = new MemoryStore();
  await writeImage(store, `${repo}:1`, image);
  const parts: Uint8Array[] = [];
  const kubepkg = parseKubePkg(makeKubePkg({ [`${repo}:1`]: "" }, { version, data: { line: version } }));
  await packBundle(kubepkg, store, {
    have: new Set(have),
    output: { write: (bytes) => void parts.push(bytes.slice()) },
  });
  return joinChunks(parts);
}
