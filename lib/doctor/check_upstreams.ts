import { DEFAULT_HOST } from "../oci/reference.ts";
import type { UpstreamSource } from "../upstream/upstream_source.ts";
import { adviseOn } from "./advice.ts";
import { type AnswerRecord, formatRateLimit } from "./answer_record.ts";
import { type Finding, reasonOf } from "./finding.ts";

/** The upstreams to check. */
export interface Upstreams {
  readonly source: Pick<UpstreamSource, "probe" | "headManifest">;
  /** The hosts of the upstreams, as in image names; `undefined` when one endpoint serves every name. */
  readonly hosts: readonly string[] | undefined;
  readonly record: AnswerRecord;
  /** Public registries that are used although they are not configured. They are not asked: a closed site has none. */
  readonly unasked?: readonly string[];
}

// Docker Hub reports the rate limit only with a manifest. It offers this image for the purpose; HEAD does not count.
const RATE_LIMIT_IMAGE = { repo: "docker.io/ratelimitpreview/test", tag: "latest" };

/** Checks whether each upstream answers and accepts the login, and how many requests its rate limit still allows. */
export async function checkUpstreams({ source, hosts, record, unasked = [] }: Upstreams): Promise<Finding[]> {
  const rest: Finding[] = unasked.length === 0 ? [] : [{
    step: "upstreams",
    status: "skipped",
    message: `${unasked.join(", ")} may be used, but none of them is configured, so they were not asked`,
    advice: `crpe doctor --upstream=${unasked[0]} asks one; at a closed site, start crpe with --offline or --upstream`,
  }];
  if (hosts?.length === 0 && rest.length > 0) return rest;
  if (hosts?.length === 0) {
    return [{
      step: "upstream",
      status: "warning",
      message: "no upstream is named; only content in the store is served",
      advice: "name one with --upstream, or start crpe with --offline",
    }];
  }
  const names = hosts?.filter((host) => host !== "*") ?? [DEFAULT_HOST];
  const found = await Promise.all(names.map((host) => checkUpstream(host, { source, hosts, record })));
  const open = hosts?.includes("*")
    ? [{ step: "upstream *", status: "ok", message: "any public registry may be contacted" } as const]
    : [];
  return [...joinFailures(found.flat()), ...open, ...rest];
}

/** A finding, and the reason in its message if an endpoint failed. */
interface Probed {
  readonly finding: Finding;
  readonly reason?: string;
}

async function checkUpstream(host: string, { source, hosts, record }: Upstreams): Promise<Probed[]> {
  const step = hosts === undefined ? "upstream of every name" : `upstream ${host}`;
  const probes = await source.probe(host);
  return await Promise.all(probes.map(async ({ url, hasCredential, isOpen, failure }): Promise<Probed> => {
    if (failure !== undefined) {
      const reason = reasonOf(failure);
      const finding = { step, status: "broken", message: `${url}: ${reason}`, advice: adviseOn(failure) } as const;
      return { finding, reason };
    }
    const access = hasCredential
      ? "it accepts the login"
      : isOpen
      ? "it answers"
      : "it answers, and wants a login; none is configured";
    if (host === DEFAULT_HOST && url === "https://registry-1.docker.io") {
      await source.headManifest(RATE_LIMIT_IMAGE.repo, RATE_LIMIT_IMAGE.tag).catch(() => {});
    }
    const rateLimit = record.rateLimits.get(new URL(url).host);
    if (rateLimit === undefined) return { finding: { step, status: "ok", message: `${url}: ${access}` } };
    const message = `${url}: ${access}; ${formatRateLimit(rateLimit)}`;
    if (rateLimit.remaining > 0) return { finding: { step, status: "ok", message } };
    const advice = "wait, or log in: content in the store is served meanwhile";
    return { finding: { step, status: "warning", message, advice } };
  }));
}

/** Joins upstreams that fail for the same reason: without a network, all of them do. */
function joinFailures(probed: readonly Probed[]): Finding[] {
  const groups = Map.groupBy(probed, ({ reason }) => reason);
  const isJoined = ({ reason }: Probed) => reason !== undefined && groups.get(reason)!.length > 2;
  const joined = [...groups.values()].filter(([first]) => isJoined(first!)).map((group): Finding => {
    const [{ finding, reason }] = group as [Probed];
    const names = group.map(({ finding: { step } }) => step.replace(/^upstream /, ""));
    return { ...finding, step: "upstreams", message: `${names.join(", ")}: ${reason}` };
  });
  return [...probed.filter((it) => !isJoined(it)).map(({ finding }) => finding), ...joined];
}
