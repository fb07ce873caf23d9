import type { KubeObject, KubePkg } from "../../kubepkg/kubepkg.ts";
import { formatRelease } from "../../kubepkg/package_id.ts";
import { packageObjects } from "../../kubepkg/package_objects.ts";
import { formatFlowYaml, formatYaml } from "./yaml.ts";

// Helm removes this text from what it renders (pkg/engine: text/template prints it for a missing value).
const NO_VALUE = "<no value>";
const NUMBER_WIDTH = 4;
const MAX_STEM = 100;

/**
 * Gives the files of a Helm chart that renders exactly the objects of a package: one template for each, in the order of
 * installation. There is nothing to set: `values.yaml` is empty.
 *
 * @returns the text of each file by its path in the chart; `Chart.yaml`, which makes the folder a chart, is the last
 * @throws {CorruptError} as `packageObjects`
 */
export function formatHelmChart(kubepkg: KubePkg): Map<string, string> {
  const files = new Map<string, string>();
  for (const [i, { object, identity: { kind, name } }] of packageObjects(kubepkg).entries()) {
    const stem = `${kind}-${name}`.toLowerCase().replace(/[^a-z0-9.-]+/g, "-").slice(0, MAX_STEM);
    files.set(`templates/${String(i + 1).padStart(NUMBER_WIDTH, "0")}-${stem}.yaml`, formatTemplate(object));
  }
  files.set("values.yaml", "# Nothing can be set: the objects are those of the package.\n{}\n");
  const { version } = kubepkg.spec;
  const description = `The objects of ${formatRelease(kubepkg)}; its images come with the bundle`;
  files.set(
    "Chart.yaml",
    formatYaml({ apiVersion: "v2", name: kubepkg.metadata.name, description, type: "application", version }),
  );
  return files;
}

/**
 * Formats an object as a template (https://pkg.go.dev/text/template) that renders its YAML. Helm also removes empty lines
 * at the end of a template, which may belong to a literal block.
 */
function formatTemplate(object: KubeObject): string {
  const yaml = formatYaml(object);
  const isExact = !yaml.includes(NO_VALUE) && !yaml.endsWith("\n\n");
  // In JSON all text is quoted, and the first character of what Helm would remove can be escaped.
  const exact = isExact ? yaml : formatFlowYaml(object).replaceAll(NO_VALUE, `\\u003c${NO_VALUE.slice(1)}`);
  return exact.replaceAll("{{", '{{"{{"}}');
}
