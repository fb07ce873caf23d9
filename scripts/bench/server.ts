/** A server under measurement; its disposal kills it. */
export interface Server extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** The time from the start of the process to the first answer to `GET /v2/`, in milliseconds. */
  readonly startTime: number;
}

const encoder = new TextEncoder();
const START_SECONDS = 30;

/**
 * Starts a server and waits for its first answer.
 *
 * @param command returns the command for a port
 * @param logFile the file for standard error, which is discarded when absent
 * @throws {Error} when the server exits, or does not answer within 30 seconds
 */
export async function startServer(command: (port: number) => readonly string[], logFile?: string): Promise<Server> {
  const port = freePort();
  const [program, ...args] = logFile === undefined
    ? command(port)
    : ["sh", "-c", 'log=$1; shift; exec "$@" 2>"$log"', "sh", logFile, ...command(port)];
  const started = performance.now();
  const child = new Deno.Command(program!, { args, stdin: "null", stdout: "null", stderr: "null" }).spawn();
  const status = child.status;
  let hasEnded = false;
  status.then(() => hasEnded = true);
  const stop = async () => {
    if (!hasEnded) child.kill("SIGKILL");
    await status;
  };
  try {
    for (;;) {
      if (await hasAnswered(port)) break;
      if (hasEnded || performance.now() - started > START_SECONDS * 1000) {
        throw new Error(`Cannot start ${program}: ${hasEnded ? "it ended" : "it does not answer"}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const startTime = performance.now() - started;
  return { url: `http://127.0.0.1:${port}`, pid: child.pid, startTime, [Symbol.asyncDispose]: stop };
}

async function hasAnswered(port: number): Promise<boolean> {
  let connection: Deno.Conn;
  try {
    connection = await Deno.connect({ hostname: "127.0.0.1", port });
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    throw error;
  }
  using _ = connection;
  await connection.write(encoder.encode("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
  return await connection.read(new Uint8Array(1024)) !== null;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
