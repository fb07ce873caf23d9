import { cannot, CorruptError } from "../oci/error.ts";
import { isJsonObject } from "../oci/json.ts";

// Fields of `spec` in the later generation of KubePkg (github.com/octohelm/kubepkg, 2023), which describes workloads and
// leaves it to its own tool to make manifests of them.
const FIELDS = [
  "config",
  "containers",
  "cronJobs",
  "deploy",
  "deployments",
  "ingresses",
  "initContainers",
  "jobs",
  "serviceAccount",
  "services",
  "templates",
  "volumes",
  "workloads",
];

/**
 * Refuses a KubePkg of the later generation, which describes an application (`spec.deploy`, `spec.containers`) instead of
 * giving its manifests: packed as it is, it would install nothing. Fields that are null or empty do not count.
 *
 * @param what names the document in the error
 * @throws {CorruptError} that names all of these fields
 */
export function refuseLaterGeneration(spec: unknown, what: string): void {
  if (!isJsonObject(spec)) return;
  const used = FIELDS.filter((field) => Object.hasOwn(spec, field) && isFilled(spec[field]));
  if (used.length === 0) return;
  const names = used.map((field) => `spec.${field}`).join(", ");
  throw new CorruptError(
    cannot(
      `use ${what}`,
      `${names} ${used.length === 1 ? "is" : "are"} of the later generation of KubePkg, which crpe does ` +
        "not render",
      "give the Kubernetes objects in spec.manifests and their images in spec.images",
    ),
  );
}

function isFilled(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return value !== undefined && value !== null && value !== "";
  return Object.keys(value).length > 0;
}
