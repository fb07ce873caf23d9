import { SharedFiles } from "../../lib/bytes/shared_files.ts";
import { ObjectStore } from "../../lib/object_store/object_store.ts";
import { S3Client } from "../../lib/object_store/s3_client.ts";
import { S3Transport } from "../../lib/object_store/s3_transport.ts";
import { findPeer } from "./peers.ts";

/** The login of the engines below. */
export const S3_KEYS = { accessKeyId: "tester", secretAccessKey: "only-for-tests" } as const;
/** The bucket that the engines below have. */
export const S3_BUCKET = "crpe-tests";

/** A running engine of S3-compatible storage. */
export interface ObjectStorage {
  readonly name: "versitygw" | "weed";
  /** `http://127.0.0.1:40123` */
  readonly url: string;
  /** Ends it at once, and removes what it has stored, unless its folder was given. */
  kill(): void;
}

/** The environment with which crpe uses an engine. */
export function s3Environment({ url }: Pick<ObjectStorage, "url">): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: S3_KEYS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: S3_KEYS.secretAccessKey,
    AWS_ENDPOINT_URL: url,
  };
}

/** Opens a client of an engine. @param prefix `""`, or a path that ends with `/` */
export function openS3Client({ url }: Pick<ObjectStorage, "url">, prefix: string): S3Client {
  const location = { bucket: S3_BUCKET, prefix, endpoint: url, region: "us-east-1", isPathStyle: true };
  return new S3Client(new S3Transport({ location, readCredentials: () => Promise.resolve(S3_KEYS) }));
}

/** Opens a store in an engine, under a prefix of its own. */
export async function openObjectStore(storage: ObjectStorage): Promise<ObjectStore & AsyncDisposable> {
  const spool = await Deno.makeTempDir();
  const client = openS3Client(storage, `${crypto.randomUUID()}/`);
  const store = new ObjectStore({ client, spool, files: new SharedFiles() });
  return Object.assign(store, { [Symbol.asyncDispose]: () => Deno.remove(spool, { recursive: true }) });
}

/**
 * Starts versitygw, which keeps the objects in a folder.
 *
 * @param options.folder a folder that stays when it is killed, so that it can be started again; default: one of its own
 * @param options.port default: any free one
 */
export async function startVersitygw(
  { folder: given, port = freePorts(1)[0]! }: { readonly folder?: string; readonly port?: number } = {},
): Promise<ObjectStorage> {
  const folder = given ?? await Deno.makeTempDir({ prefix: "crpe-versitygw-" });
  await Deno.mkdir(`${folder}/data/${S3_BUCKET}`, { recursive: true });
  await Deno.mkdir(`${folder}/attributes`, { recursive: true });
  // Not every file system of a test machine has extended attributes.
  const args = [`--port=127.0.0.1:${port}`, "posix", `--sidecar=${folder}/attributes`, `${folder}/data`];
  const env = { ROOT_ACCESS_KEY: S3_KEYS.accessKeyId, ROOT_SECRET_KEY: S3_KEYS.secretAccessKey };
  return await start({ name: "versitygw", folder, port, args, env, isKept: given !== undefined });
}

/** Starts SeaweedFS: a master, a volume server, a filer and the S3 API in one process. */
export async function startWeed(): Promise<ObjectStorage> {
  const folder = await Deno.makeTempDir({ prefix: "crpe-weed-" });
  const names = ["master.port", "volume.port", "filer.port", "s3.port"];
  const ports = freePorts(2 * names.length);
  await writeWeedLogin(`${folder}/s3.json`);
  const args = [
    ...["server", "-s3", `-dir=${folder}`, "-ip=127.0.0.1", "-ip.bind=127.0.0.1", `-s3.config=${folder}/s3.json`],
    ...["-s3.autoCreateBucket", "-volume.max=3", "-master.volumeSizeLimitMB=64", "-s3.port.iceberg=0"],
    ...names.flatMap((name, i) => [`-${name}=${ports[2 * i]}`, `-${name}.grpc=${ports[2 * i + 1]}`]),
  ];
  return await start({ name: "weed", folder, port: ports[6]!, args, env: { HOME: folder } });
}

async function start({ name, folder, port, args, env, isKept = false }: {
  readonly name: ObjectStorage["name"];
  readonly folder: string;
  readonly port: number;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly isKept?: boolean;
}): Promise<ObjectStorage> {
  const log = `${folder}/log`;
  // A file: a pipe is not read between tests.
  const child = new Deno.Command("sh", {
    args: ["-c", 'exec "$0" "$@" >"$LOG" 2>&1', findPeer(name)!, ...args],
    ...{ stdin: "null", stdout: "null", stderr: "null", clearEnv: true },
    env: { PATH: Deno.env.get("PATH") ?? "", LOG: log, ...env },
  }).spawn();
  const state = { isEnded: false };
  child.status.then(() => state.isEnded = true);
  const storage: ObjectStorage = {
    name,
    url: `http://127.0.0.1:${port}`,
    kill() {
      if (!state.isEnded) child.kill("SIGKILL");
      if (!isKept) Deno.removeSync(folder, { recursive: true });
    },
  };
  const client = openS3Client(storage, "start/");
  while (!state.isEnded) {
    // It listens before it can write. The bucket of SeaweedFS is made by the first write.
    if (await client.write("probe", new Uint8Array(1)).then(() => true, () => false)) return storage;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`Cannot start ${name}: it ended: ${await Deno.readTextFile(log)}`);
}

/** Writes the file by which SeaweedFS knows the login of the tests. */
export async function writeWeedLogin(path: string): Promise<void> {
  const credentials = [{ accessKey: S3_KEYS.accessKeyId, secretKey: S3_KEYS.secretAccessKey }];
  const identity = { name: "tests", credentials, actions: ["Admin", "Read", "Write", "List", "Tagging"] };
  await Deno.writeTextFile(path, JSON.stringify({ identities: [identity] }));
}

/** Finds ports on which nothing listens. */
export function freePorts(count: number): number[] {
  const listeners = Array.from({ length: count }, () => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
  const ports = listeners.map(({ addr }) => (addr as Deno.NetAddr).port);
  listeners.forEach((listener) => listener.close());
  return ports;
}
