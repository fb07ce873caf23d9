/**
 * Advice for the failures of kubectl, by their messages. The messages are those of kubectl, client-go and the API server,
 * Kubernetes 1.24 to 1.37.
 *
 * @module
 */

type Advice = string | ((match: RegExpExecArray) => string);

const CONFLICT = /Apply failed with \d+ conflict|conflicts? with "/;
const VOLUME =
  /immutable after creation except resources|persistentvolumesource is immutable|PersistentVolume(?:Claim)? "[^"]*" is invalid: .*(?:immutable|Forbidden)|can ?not be less than (?:previous value|status\.capacity)|only dynamically provisioned pvc can be resized/;
const IMMUTABLE =
  /is immutable|updates to statefulset spec|Forbidden: updates to|may not change once set|cannot change roleRef|can ?not be (?:changed|unset)|may not be (?:changed|updated)|pod updates may not change|Forbidden: may not (?:change|update)|cannot be updated/;

// The first row that matches any line counts, so that a row stands before those that also match its messages: a webhook
// that refuses a connection before an API server that does, and each reason for "is forbidden" before missing rights.
const ADVICE: readonly (readonly [RegExp, Advice])[] = [
  // kubectl does not get as far as the cluster.
  [
    /unknown (?:shorthand )?flag|unknown command "diff"/,
    "this kubectl is too old for server-side apply; install kubectl 1.22 or newer",
  ],
  [
    /exec: executable (\S+) not found|exec: "([^"]+)": executable file not found/,
    ([, a, b]) =>
      `the login program ${a ?? b} that the kubeconfig names is not on $PATH; install it, or use a ` +
      "kubeconfig with a token or a certificate",
  ],
  [
    /getting credentials: exec|exec plugin|client-go credential plugin/,
    "the login program that the kubeconfig names fails; run kubectl version by hand to log in, or use a kubeconfig with " +
    "a token or a certificate",
  ],
  [
    /(?:open|stat|read|unable to read) \S+: permission denied|--write-kubeconfig-mode/,
    "it cannot read its configuration; run it as a user who can, or name another file with $KUBECONFIG",
  ],
  [
    /error loading config file|invalid configuration|context ["']?\S+["']? (?:does not exist|not found)|context was not found|no (?:server|context|cluster) \S* ?(?:exists|found)|cluster "[^"]*" does not exist|unable to read (?:client|certificate)|couldn't get version\/kind|no configuration has been provided|^(?:error: )?stat \S+: no such file/,
    "the kubeconfig cannot be used; check the file that $KUBECONFIG names, and its current context",
  ],
  [
    /connection to the server localhost:8080 was refused|dial tcp (?:127\.0\.0\.1|\[::1\]):8080/,
    "it does not reach the cluster, because no kubeconfig names one; set $KUBECONFIG (k3s: /etc/rancher/k3s/k3s.yaml)",
  ],
  // An admission webhook.
  [
    /failed calling webhook "([^"]+)"|conversion webhook for (\S+), |failed to call webhook/,
    ([, a, b]) =>
      `the webhook ${a ?? b ?? "that checks these objects"} of the cluster does not answer; wait until its ` +
      "Pods are ready, and run this command again (if its workload was removed, delete its webhook configuration)",
  ],
  [
    /admission webhook "([^"]+)" denied the request|ValidatingAdmissionPolicy '([^']+)'.* denied request/,
    ([, a, b]) =>
      `the policy ${a ?? b} of the cluster refuses these objects; change them as its message says, or ` +
      "change the policy",
  ],
  // Something is being deleted.
  [
    /unable to create new content in namespace ([a-z0-9-]+) because it is being terminated/,
    ([, namespace]) =>
      `the namespace ${namespace} is being deleted; wait until it is gone, and run this command again ` +
      `(kubectl get namespace ${namespace} -o yaml shows what holds it)`,
  ],
  [
    /because it is being terminated|object is being deleted|while (?:custom resource definition|CRD) is terminating|is being deleted/i,
    "an object of this name is still being deleted; wait until it is gone, and run this command again",
  ],
  // Limits of the namespace.
  [
    /exceeded quota|failed quota|status unknown for quota/,
    "a ResourceQuota of the namespace is used up, or requires requests and limits; raise it (kubectl describe quota), or " +
    "change the objects",
  ],
  [
    /(?:maximum|minimum) \S+ usage per \w+|max limit to request ratio|maximum \S+ limit to request ratio/,
    "a LimitRange of the namespace does not allow these requests and limits; change one of the two (kubectl describe " +
    "limitrange)",
  ],
  [
    /violates PodSecurity/,
    "the Pod Security level of the namespace does not allow these Pods; change the Pods, or bring the Namespace with the " +
    "label pod-security.kubernetes.io/enforce that they need",
  ],
  // Fields that cannot change.
  [
    VOLUME,
    "a volume cannot be changed in this way; take the change back, because deleting the volume deletes its data",
  ],
  [
    IMMUTABLE,
    "the cluster cannot change these fields in an existing object; delete the object by hand (a StatefulSet with " +
    "--cascade=orphan, which keeps its Pods and volumes), and run this command again",
  ],
  [
    /provided (?:port|IP) is already allocated/,
    "another Service has this port or address; choose another one, or delete that Service",
  ],
  // Other managers and writers.
  [
    CONFLICT,
    "other programs manage some of these fields; take the fields out of the package, or take them over with " +
    "--force-conflicts",
  ],
  [
    /Operation cannot be fulfilled on|the object has been modified/,
    "another program changes these objects at the same time; run this command again",
  ],
  // Kinds and fields.
  [
    /timed out waiting for the condition on customresourcedefinitions/i,
    "the cluster does not accept a definition of the package; kubectl describe crd says why",
  ],
  [
    /no matches for kind "([^"]+)" in version "((?:extensions|apps|batch|policy|autoscaling|(?:[\w-]+\.)+k8s\.io)\/v\d+(?:alpha|beta)\d+)"/,
    ([, kind, version]) =>
      `the Kubernetes of this cluster does not serve ${kind} in ${version} (any more); bring the ` +
      "package up to date (kubectl api-resources lists what is served)",
  ],
  [
    /no matches for kind|ensure CRDs are installed first|could not find the requested resource|doesn't have a resource type/,
    "the cluster does not know these kinds; add their definitions to the package, or install them in the cluster first",
  ],
  [
    /unknown field|strict decoding error|field not declared in schema|duplicate field/,
    "the cluster does not know these fields; correct their spelling and place, or bring the definition of the kind up to " +
    "date",
  ],
  [
    /request is too large|entity too large|annotations: Too long|Too long: .*1048576|larger than max|limit is 3145728/i,
    "the object is too large for the cluster, which takes about 1 MiB; split it, or carry its data in an image or a volume",
  ],
  [
    /error converting YAML|control characters are not allowed|error parsing STDIN|mapping values are not allowed/,
    "kubectl cannot read these objects; take control characters out of their texts",
  ],
  // Rights and logins.
  [
    /attempting to grant (?:RBAC permissions not currently held|extra privileges)/,
    "a role of the package grants rights that this login does not have itself; allow it escalate and bind, or use an " +
    "administrator's login with $KUBECONFIG",
  ],
  [
    /is forbidden: User "[^"]*" cannot (\w+) resource "([^"]+)"|cannot (\w+) resource "([^"]+)" in API group/,
    ([, verbA, nounA, verbB, nounB]) =>
      `this login may not ${verbA ?? verbB} ${nounA ?? nounB}; give it the rights in ` +
      "docs/kubernetes.md, or use another login with $KUBECONFIG",
  ],
  [
    /Unauthorized|must be logged in|asked for the client to provide credentials|token (?:has|is) expired|unable to authenticate|certificate has been revoked/i,
    "the cluster does not accept this login; it may have expired: renew it, or use another one with $KUBECONFIG",
  ],
  // Objects that others need.
  [
    /namespaces "([^"]+)" not found/,
    ([, namespace]) =>
      `the namespace ${namespace} does not exist; bring it in the package, or create it in the cluster`,
  ],
  [
    /no PriorityClass with name (\S+) was found|error looking up service account (\S+?):|RuntimeClass "?([^"\s]+)"? not found/,
    ([, a, b, c]) => `${a ?? b ?? c} does not exist in the cluster; add it to the package, or install it first`,
  ],
  [
    /Required value|missing required field|cannot use generate name with apply|name may not be empty|resource name must be/,
    "an object misses a required field; correct it in the package",
  ],
  [
    /error validating data|ValidationError|failed to create typed patch|Invalid value|Unsupported value|is invalid:|duplicate entries for key|cannot unmarshal|unable to decode/,
    "the cluster does not take a value of these objects; correct it in the package",
  ],
  // The way to the API server.
  [
    /x509: certificate has expired or is not yet valid|certificate has expired/,
    "a certificate of the cluster or of the kubeconfig has expired; renew it, and check the clock of this machine",
  ],
  [
    /x509:|failed to verify certificate|tls: (?:bad|unknown) certificate|certificate required|private key does not match/,
    "the certificates of the kubeconfig and of the API server do not belong together; use a current kubeconfig of this " +
    "cluster",
  ],
  [
    /gave HTTP response to HTTPS client|malformed HTTP response/,
    "what answers under the address in the kubeconfig is no API server; correct the address, or the proxy settings",
  ],
  [
    /database space exceeded/,
    "the cluster's etcd is full, and takes no more objects until it is compacted or its quota is raised",
  ],
  [
    /no space left on device/,
    "a disk is full: of this machine where the message names a file of it, and else of the cluster's server; make room there",
  ],
  [
    /unable to return a response in the time allotted|etcdserver: |Too ?Many ?Requests|currently unable to handle the request|apiserver not ready|TLS handshake timeout|request did not complete within|unexpected EOF|connection lost|connection reset|starting up|please try again|ServiceUnavailable|shutting down/i,
    "the API server is starting or overloaded; wait a little, and run this command again",
  ],
  [
    /connection to the server|connection refused|no such host|no route to host|network is unreachable|i\/o timeout|deadline exceeded|Client\.Timeout|Unable to connect|proxyconnect/i,
    "it does not reach the cluster; check that the cluster runs, and which one $KUBECONFIG names",
  ],
  [
    /forbidden/i,
    "the cluster does not allow it, for the reason that kubectl names; change the objects, or use another login with " +
    "$KUBECONFIG",
  ],
];

const UNKNOWN = "correct the cause that it names, and run this command again";

// Each conflict ends with the same paragraph.
const PARAGRAPH = /^Please review the fields above--[^]*?server-side-apply\/#conflicts$/gm;
// A line may hold whole objects; what is wrong with them stands at its ends.
const MAX_END = 2000;

/** Returns the advice that fits best what kubectl said, by the lines of its failure. */
export function adviseOn(lines: readonly string[]): string {
  const texts = lines.map((line) => shortenLine(line, MAX_END));
  for (const [pattern, advice] of ADVICE) {
    for (const text of texts) {
      const match = pattern.exec(text);
      if (match !== null) return typeof advice === "string" ? advice : advice(match);
    }
  }
  return UNKNOWN;
}

/**
 * Selects the failures that no other object of the package can cause or heal: fields that others manage, and fields that
 * cannot change.
 */
export function selectLasting(lines: readonly string[]): string[] {
  return lines.filter((line) => {
    const text = shortenLine(line, MAX_END);
    return CONFLICT.test(text) || VOLUME.test(text) || IMMUTABLE.test(text);
  });
}

/**
 * Returns the lines that kubectl wrote about its failure, each once: no warnings, no general explanations, and no control
 * characters that a terminal would interpret. If it only warned, the warnings.
 */
export function failureLinesOf({ stderr, stdout }: { readonly stderr: string; readonly stdout: string }): string[] {
  const text = stderr.trim() === "" ? stdout : stderr;
  const lines = text.replaceAll("\r\n", "\n").replace(PARAGRAPH, "").split("\n")
    // deno-lint-ignore no-control-regex
    .map((line) => line.replaceAll(/\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "").trimEnd())
    .filter((line) => line !== "");
  const failures = lines.filter((line) => !line.startsWith("Warning:"));
  return [...new Set(failures.length === 0 ? lines : failures)];
}

/** Returns the two ends of a long line, each of at most `end` characters. */
export function shortenLine(line: string, end: number): string {
  return line.length <= 2 * end ? line : `${line.slice(0, end)} … ${line.slice(-end)}`;
}
