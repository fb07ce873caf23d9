import { runCrpe, startCrpe } from "../tests/support/crpe_process.ts";

/** What the demonstration has made. */
export interface DemoServeOptions {
  /** The environment of the crpe processes. */
  readonly env: Readonly<Record<string, string>>;
  /** The data folder of the first machine, with a bundle in its outbox. */
  readonly office: string;
  /** The data folder of the second machine. */
  readonly site: string;
  readonly manifestsDir: string;
  /** The address that both listen on. */
  readonly hostname: string;
  readonly say: (text: string) => void;
}

/** Serves the pages of both machines until ctrl-C. The registry's page knows the agent. */
export async function serveDemo({ env, office, site, manifestsDir, hostname, say }: DemoServeOptions): Promise<void> {
  const stop = Promise.withResolvers<void>();
  // The processes of a terminal get the signal of ctrl-C too, and end by themselves.
  const onSignal = () => stop.resolve();
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, onSignal);
  try {
    const listen = [`--addr=${hostname}:0`];
    await using registry = await startCrpe(["registry", ...listen, `--data=${office}`, "--offline"], { env });
    await using agent = await startCrpe(
      ["agent", ...listen, `--data=${site}`, `--manifests-dir=${manifestsDir}`, "--node-id=line-4"],
      { env },
    );
    const pair = async (command: string, data: string, url: string) => {
      const args = [command, "--pair", `--data=${data}`, `--addr=${new URL(url).host}`];
      const { code, stdout, stderr } = await runCrpe(args, { env });
      if (code !== 0) throw new Error(`crpe ${command} --pair ended with ${code}: ${stderr}`);
      return stdout.trimEnd();
    };
    await addAgent(registry.url, office, await pair("agent", site, agent.url));
    say(`\n7. the page of crpe registry, the desk; it has line4 1.1.0 for the agent:\n`);
    say(await pair("registry", office, registry.url));
    say(`\n8. the page of crpe agent, the site:\n`);
    say(await pair("agent", site, agent.url));
    say("\nBoth serve until ctrl-C.");
    await Promise.race([stop.promise, registry.finished, agent.finished]);
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, onSignal);
  }
}

/** Adds the agent to the registry, as the page does. @param pairing what `crpe agent --pair` has printed */
async function addAgent(registry: string, office: string, pairing: string): Promise<void> {
  const address = /^http:\S+#t=\S+$/m.exec(pairing)?.[0];
  const at = new URL(registry);
  if (at.hostname === "0.0.0.0") at.hostname = "127.0.0.1";
  // The first request for the page makes the token.
  await (await fetch(new URL("/api/access", at))).body?.cancel();
  const token = (await Deno.readTextFile(`${office}/kubepkg/.token`)).trim();
  const response = await fetch(new URL("/api/nodes", at), {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: JSON.stringify({ address, insecure: true }),
  });
  if (!response.ok) throw new Error(`Cannot add the agent: ${response.status} ${await response.text()}`);
  await response.body?.cancel();
}
