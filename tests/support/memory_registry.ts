import { findPeer, type Peer } from "./peers.ts";

// How each program serves a registry on 127.0.0.1, and the line that names its port.
const PROGRAMS = {
  crane: { args: ["registry", "serve", "--address=127.0.0.1:0"], line: /serving on port ([0-9]+)/ },
  cue_registry: { args: [], line: /listening on 127\.0\.0\.1:([0-9]+)/ },
} satisfies Partial<Record<Peer, unknown>>;

/** A registry of another make than distribution: that of go-containerregistry (crane) or of CUE. */
export type MemoryRegistry = keyof typeof PROGRAMS;

/** Starts a registry that keeps everything in memory; it stops when disposed of. */
export async function startMemoryRegistry(
  name: MemoryRegistry,
): Promise<{ host: string; url: string } & AsyncDisposable> {
  const { args, line } = PROGRAMS[name];
  const process = new Deno.Command(findPeer(name)!, { args, stdin: "null", stdout: "piped", stderr: "piped" }).spawn();
  const listening = Promise.withResolvers<string>();
  let log = "";
  const follow = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      log += text;
      const port = line.exec(log)?.[1];
      if (port !== undefined) listening.resolve(`127.0.0.1:${port}`);
    }
  };
  const ended = Promise.all([follow(process.stdout), follow(process.stderr)]).then(() => {
    listening.reject(new Error(`Cannot start ${name}: ${log}`));
  });
  const host = await listening.promise;
  return {
    host,
    url: `http://${host}`,
    async [Symbol.asyncDispose]() {
      process.kill("SIGKILL");
      await Promise.all([process.status, ended]);
    },
  };
}
