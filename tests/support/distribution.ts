import { type ObjectStorage, S3_BUCKET, S3_KEYS } from "./object_storage.ts";
import { findPeer } from "./peers.ts";

/** The only password that a registry with `htpasswd` accepts. */
export const TEST_PASSWORD = "correct horse";

// The bcrypt hash of the password. distribution reads no other kind, and not every machine has a tool that makes one.
const TEST_PASSWORD_BCRYPT = "$2y$05$crpetestsaltcrpetestsudfVMxHphLuxR0znThMzSLix7UN2INBS";

/** Options of a distribution registry. */
export interface DistributionOptions {
  /** The data folder; by default a temporary one. */
  readonly dataDir?: string;
  /** Keeps content in a bucket instead, under a prefix. */
  readonly bucket?: { readonly storage: ObjectStorage; readonly prefix: string };
  /** Requires this user with Basic authentication; the password has to be `TEST_PASSWORD`. */
  readonly htpasswd?: { readonly user: string; readonly password: string };
  /** Makes it a pull-through cache of the registry at this URL. */
  readonly proxyRemote?: string;
  readonly readonly?: boolean;
  /** The address to listen on, by default 127.0.0.1. */
  readonly host?: string;
  /** The path of another release of the program; by default Debian's `docker-registry`. */
  readonly program?: string;
}

/** A running CNCF distribution registry; it stops when disposed of. */
export interface Distribution extends AsyncDisposable {
  /** `127.0.0.1:40123` */
  readonly host: string;
  /** `http://127.0.0.1:40123` */
  readonly url: string;
  readonly dataDir: string;
  /** The process id, for measurements. */
  readonly pid: number;
  /** Everything that it has logged, including its access log. */
  log(): string;
}

/** Starts a distribution registry on a free port, and waits until it listens. */
export async function startDistribution(options: DistributionOptions = {}): Promise<Distribution> {
  const path = options.program ?? findPeer("docker-registry");
  if (path === undefined) throw new Error("Cannot start docker-registry: it is not installed");
  const folder = await Deno.makeTempDir({ prefix: "crpe-distribution-" });
  const dataDir = options.dataDir ?? `${folder}/data`;
  const config = await writeConfig(folder, dataDir, options);
  const process = new Deno.Command(path, {
    args: ["serve", config],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    clearEnv: true,
    // Since 3.0 it sends traces to a collector, unless told otherwise.
    env: { PATH: Deno.env.get("PATH") ?? "", OTEL_TRACES_EXPORTER: "none" },
  }).spawn();
  let log = "";
  const listening = Promise.withResolvers<string>();
  const follow = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      log += text;
      const address = /msg="listening on ([^" ]+?)(?:, tls)?"/.exec(log)?.[1];
      if (address !== undefined) listening.resolve(address);
    }
  };
  const followed = Promise.all([follow(process.stdout), follow(process.stderr)]);
  const stop = async () => {
    try {
      process.kill("SIGKILL");
    } catch {
      // The process has ended already.
    }
    await Promise.all([process.status, followed]);
    await Deno.remove(folder, { recursive: true });
  };
  const ended = process.status.then(async ({ code }) => {
    await followed;
    throw new Error(`Cannot start docker-registry: it ended with ${code}: ${log}`);
  });
  ended.catch(() => {}); // It rejects when the registry is stopped, too; by then nothing awaits it.
  try {
    const host = await Promise.race([listening.promise, ended]);
    return { host, url: `http://${host}`, dataDir, pid: process.pid, log: () => log, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function writeConfig(folder: string, dataDir: string, options: DistributionOptions): Promise<string> {
  const { htpasswd, proxyRemote, bucket } = options;
  if (htpasswd !== undefined) {
    if (htpasswd.password !== TEST_PASSWORD) throw new Error("Cannot use the password: only TEST_PASSWORD is known");
    await Deno.writeTextFile(`${folder}/htpasswd`, `${htpasswd.user}:${TEST_PASSWORD_BCRYPT}\n`);
  }
  const config = {
    version: "0.1",
    // The chosen port is logged at this level.
    log: { level: "info", formatter: "text" },
    storage: {
      ...(bucket === undefined
        ? { filesystem: { rootdirectory: dataDir, maxthreads: 100 } }
        : { s3: s3Config(bucket), redirect: { disable: true } }),
      cache: { blobdescriptor: "inmemory" },
      delete: { enabled: true },
      ...(options.readonly ? { maintenance: { readonly: { enabled: true } } } : {}),
    },
    http: { addr: `${options.host ?? "127.0.0.1"}:0`, secret: "of no importance" },
    ...(htpasswd ? { auth: { htpasswd: { realm: "tests", path: `${folder}/htpasswd` } } } : {}),
    ...(proxyRemote ? { proxy: { remoteurl: proxyRemote } } : {}),
  };
  // JSON is YAML.
  await Deno.writeTextFile(`${folder}/config.yml`, JSON.stringify(config));
  return `${folder}/config.yml`;
}

function s3Config({ storage, prefix }: NonNullable<DistributionOptions["bucket"]>) {
  return {
    ...{ accesskey: S3_KEYS.accessKeyId, secretkey: S3_KEYS.secretAccessKey, region: "us-east-1", bucket: S3_BUCKET },
    ...{ regionendpoint: storage.url, rootdirectory: `/${prefix}`, secure: false },
    // Versions 2 and 3 of distribution name it differently.
    ...{ forcepathstyle: true, v4auth: true },
  };
}
