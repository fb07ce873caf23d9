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
  /** Whether the hosts are the public registries that are used when none is configured. */
  readonly isDefault?: boolean;
}

// Docker Hub reports the rate limit only with a manifest. It offers this image for the purpose; HEAD does not count.
const RATE_LIMIT_IMAGE = { repo: "docker.io/ratelimitpreview/test", tag: "latest" };

// The messages of `TransportError` on a machine without a network.
const UNREACHABLE = /not found in the DNS|connection was refused|no network route|did not answer in time/;
const NO_NETWORK = "at a closed site, start crpe with --offline, or name its registries with --upstream";

/** Checks whether each upstream answers and accepts the login, and how many requests its rate limit still allows. */
export async function checkUpstreams({ source, hosts, record, isDefault = false }: Upstreams): Promise<Finding[]> {
  if (hosts?.length === 0) {
    return [{
      step: "upstream",
      status: "warning",
      message: "no upstream is named; only content in the store is served",
    }];
  }
  const names = hosts?.filter((host) => host !== "*") ?? [DEFAULT_HOST];
  const findings = await Promise.all(names.map((host) => checkUpstream(host, { source, hosts, record })));
  // A site without internet access is as it should be.
  if (isDefault && findings.flat().every(({ status, message }) => status === "broken" && UNREACHABLE.test(message))) {
    const message = `there is no network: none of the ${names.length} public registries can be reached, and none is ` +
      "configured; only content in the store is served";
    return [{ step: "upstreams", status: "warning", message, advice: NO_NETWORK }];
  }
  const open = hosts?.includes("*")
    ? [{ step: "upstream *", status: "ok", message: "any public registry may be contacted" } as const]
    : [];
  return [...joinFailures(findings.flat()), ...open];
}

async function checkUpstream(host: string, { source, hosts, record }: Upstreams): Promise<Finding[]> {
  const step = hosts === undefined ? "upstream of every name" : `upstream ${host}`;
  const probes = await source.probe(host);
  return await Promise.all(probes.map(async ({ url, hasCredential, isOpen, failure }): Promise<Finding> => {
    if (failure !== undefined) {
      return { step, status: "broken", message: `${url}: ${reasonOf(failure)}`, advice: adviseOn(failure.message) };
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
    if (rateLimit === undefined) return { step, status: "ok", message: `${url}: ${access}` };
    const message = `${url}: ${access}; ${formatRateLimit(rateLimit)}`;
    if (rateLimit.remaining > 0) return { step, status: "ok", message };
    return { step, status: "warning", message, advice: "wait, or log in: content in the store is served meanwhile" };
  }));
}

/** Joins upstreams that fail for the same reason: without a network, all of them do. */
function joinFailures(findings: readonly Finding[]): Finding[] {
  const reasonIn = ({ message }: Finding) => message.replace(/^\S+: /, "");
  const groups = Map.groupBy(findings.filter(({ status }) => status === "broken"), reasonIn);
  const joined = [...groups].map(([reason, [first, ...others]]): Finding => {
    if (others.length < 2) return first!;
    const names = [first!, ...others].map(({ step }) => step.replace(/^upstream /, ""));
    return { ...first!, step: "upstreams", message: `${names.join(", ")}: ${reason}` };
  });
  const isJoined = (finding: Finding) => finding.status === "broken" && groups.get(reasonIn(finding))!.length > 2;
  return [
    ...findings.filter((finding) => !isJoined(finding)),
    ...joined.filter(({ step }) => step === "upstreams"),
  ];
}
