import { type CrpeOptions, denoFolder } from "./crpe_process.ts";

/** The user without rights as whom tests of root run crpe. */
export const OTHER_USER = 65534;

/**
 * Prepares a run of crpe as another user.
 *
 * @param folder an existing folder, for the home of the user
 */
export async function createOtherUser(folder: string): Promise<{ readonly options: CrpeOptions } & AsyncDisposable> {
  const home = await Deno.makeTempDir({ dir: folder });
  const denoDir = `${home}/deno`;
  await copyPackages(denoDir);
  await new Deno.Command("chown", { args: ["-R", `${OTHER_USER}`, home] }).output();
  return {
    options: {
      env: { HOME: home, DENO_DIR: denoDir },
      within: ["setpriv", `--reuid=${OTHER_USER}`, "--clear-groups"],
      cwd: home,
    },
    [Symbol.asyncDispose]: () => Deno.remove(home, { recursive: true }),
  };
}

/**
 * Creates a folder of Deno's downloads, with the packages of crpe: they may be in a folder that only root can read. The
 * executable and the joined modules need none.
 */
export async function copyPackages(folder: string): Promise<void> {
  await Deno.mkdir(folder);
  if (Deno.env.has("CRPE") || Deno.env.has("CRPE_BUILD")) return;
  await new Deno.Command("cp", { args: ["-r", `${denoFolder()}/npm`, folder] }).output();
}
