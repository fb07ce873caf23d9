import { answerJson } from "../agent/answer.ts";
import { parsePlatforms } from "../oci/platform.ts";
import { formatReference, parseReference, type Reference, withDefaultTag } from "../oci/reference.ts";
import type { PageJobs } from "./page_jobs.ts";
import type { PageImages } from "./page_options.ts";

/** `POST /api/images?image=NAME`: starts a job that pulls an image. */
export function startPull(url: URL, { images, jobs }: { images: PageImages; jobs: PageJobs }): Response {
  const image = readImage(url);
  const platforms = parsePlatforms(url.searchParams.get("platform") ?? "");
  const job = jobs.start({ kind: "pull", title: formatReference(image) }, (job) => images.pull(image, platforms, job));
  return answerJson(job, {}, 202);
}

/** `DELETE /api/images?image=NAME`: removes an image from the store. */
export async function removeImage(url: URL, images: PageImages): Promise<Response> {
  return answerJson(await images.remove(readImage(url)));
}

function readImage({ searchParams }: URL): Reference {
  return withDefaultTag(parseReference((searchParams.get("image") ?? "").trim()));
}
