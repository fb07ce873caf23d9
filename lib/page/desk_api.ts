import { answerJson } from "../agent/answer.ts";
import { readBody } from "../agent/request_body.ts";
import { checkKubePkgs } from "../kubepkg/check_kubepkgs.ts";
import { cannot, CorruptError, RegistryError } from "../oci/error.ts";
import { parsePlatforms } from "../oci/platform.ts";
import type { PageJobs } from "./page_jobs.ts";
import type { PageDesk, PageRelease } from "./page_options.ts";

// A release with thousands of objects has a few megabytes.
const BODY_LIMITS = { limit: 16 * 1024 * 1024, stallTimeout: 30_000 };

/** `POST /api/releases/check`: what a text holds, or every error in it. */
export async function checkRelease(request: Request, desk: PageDesk): Promise<Response> {
  const checked = checkKubePkgs(await readText(request));
  // The text is being typed: that it is not a release yet is an answer.
  if (!("kubepkgs" in checked)) {
    const { error, ...problems } = checked;
    return answerJson({ releases: [], error: error.message, ...problems });
  }
  try {
    return answerJson({ releases: checked.kubepkgs.map(desk.describe).map(describe) });
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    const problems = [{ field: "", message: error.message }];
    return answerJson({ releases: [], error: error.message, problems, more: 0 });
  }
}

/** `POST /api/packs`: starts a job for each release of a text. */
export async function startPacks(
  request: Request,
  url: URL,
  { desk, jobs }: { desk: PageDesk; jobs: PageJobs },
): Promise<Response> {
  const platforms = parsePlatforms(url.searchParams.get("platform") ?? "");
  const site = url.searchParams.get("have");
  const have = site === null || site === "" ? undefined : await desk.inventories.read(site);
  const checked = checkKubePkgs(await readText(request));
  if (!("kubepkgs" in checked)) throw checked.error;
  const releases = checked.kubepkgs.map(desk.describe);
  // All of them are started, or none.
  jobs.checkRoom("pack", releases.length);
  const started = releases.map((release) => {
    const { name, version } = release;
    return jobs.start(
      { kind: "pack", title: `${name}@${version}` },
      (job) => desk.pack(release, { platforms, have }, job),
    );
  });
  return answerJson({ jobs: started }, {}, 202);
}

async function readText(request: Request): Promise<Uint8Array> {
  const bytes = await readBody(request, BODY_LIMITS);
  if (bytes.length === 0) throw new RegistryError("INVALID", cannot("read the release", "the request has no body"));
  return bytes;
}

function describe({ kubepkg: _, ...release }: PageRelease): object {
  return release;
}
