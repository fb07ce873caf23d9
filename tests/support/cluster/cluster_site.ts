import type { KubeObject } from "../../../lib/kubepkg/kubepkg.ts";
import { assertEquals } from "../assert.ts";
import { runCrpe } from "../crpe_process.ts";
import { buildImage } from "../images.ts";
import { makeKubePkg } from "../kubepkg.ts";
import { createPackFixture } from "../pack_fixture.ts";
import { findPeer } from "../peers.ts";
import { ApiServer } from "./api_server.ts";

const IMAGE = "registry.test/app:1";

/** What a release has that a test packs. */
export interface Release {
  readonly version: string;
  readonly objects: readonly KubeObject[];
  /** The namespace of the package. */
  readonly namespace?: string;
}

/** A ConfigMap without a namespace. */
export function configMap(name: string, data: Readonly<Record<string, string>> = { a: "1" }): KubeObject {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data };
}

/**
 * A site with an API server, the real kubectl, and a context whose namespace is none of the package's. Packages are named
 * `line4`, and are in the namespace `shop`.
 */
export async function createClusterSite() {
  const fixture = await createPackFixture({ [IMAGE]: buildImage() });
  const { folder } = fixture;
  const api = new ApiServer();
  const kubectl = findPeer("kubectl")!;
  await Deno.mkdir(`${folder.path}/bin`);
  // Counts the processes.
  const script = await folder.write(
    "bin/kubectl",
    `#!/bin/sh\necho "$1" >>"${folder.path}/calls"\nexec '${kubectl}' "$@"\n`,
  );
  await Deno.chmod(script, 0o755);
  const kubeconfig = await folder.write("kubeconfig", api.kubeconfig("elsewhere"));
  const env = {
    ...fixture.processOptions.env,
    PATH: `${folder.path}/bin:${Deno.env.get("PATH")}`,
    KUBECONFIG: kubeconfig,
  };
  const run = async (...args: string[]) => await runCrpe([...args, "--data=site"], { ...fixture.processOptions, env });
  return {
    api,
    folder,
    env,
    run,
    /** Packs a release into `<version>.tgz`. */
    async pack({ version, objects, namespace = "shop" }: Release) {
      const base = makeKubePkg({ [IMAGE]: "" }, { version });
      const manifests = Object.fromEntries(objects.map((object, i) => [`${String(i).padStart(3, "0")}`, object]));
      const metadata = { ...base.metadata, namespace };
      const { code, stderr } = await fixture.pack({ ...base, metadata, spec: { ...base.spec, manifests } }, version);
      assertEquals(code, 0, stderr);
    },
    /** Imports a release with kubectl, and checks the exit status. @returns the printed text */
    async import(version: string, ...flags: string[]) {
      const { code, stdout, stderr } = await run("import", `${version}.tgz`, "--kubectl", ...flags);
      assertEquals(code, 0, stderr);
      return stdout;
    },
    /** Runs kubectl itself. */
    async kubectl(args: readonly string[]) {
      const { code, stdout, stderr } = await new Deno.Command(kubectl, { args: [...args], env, stdin: "null" })
        .output();
      const decoder = new TextDecoder();
      return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
    },
    /** Names a server that does not exist, or the right one again. */
    async setReachable(isReachable: boolean) {
      const text = api.kubeconfig("elsewhere");
      await folder.write("kubeconfig", isReachable ? text : text.replace(api.url, "http://127.0.0.1:9"));
    },
    /** The commands that kubectl was run with since the last question. */
    async takeCalls() {
      const calls = (await Deno.readTextFile(`${folder.path}/calls`)).trim().split("\n");
      await Deno.remove(`${folder.path}/calls`);
      return calls;
    },
    /** The objects of the package's namespace, and those that are in none. */
    list: () => api.list().filter((label) => !["Namespace/default", "Namespace/kube-system"].includes(label)),
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]();
      await fixture[Symbol.asyncDispose]();
    },
  };
}
