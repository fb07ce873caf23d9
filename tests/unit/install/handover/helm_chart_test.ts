// @ts-types="../../../../lib/std/yaml.d.ts"
import { parse } from "@std/yaml";
import { formatHelmChart } from "../../../../lib/install/handover/helm_chart.ts";
import { packageObjects } from "../../../../lib/kubepkg/package_objects.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import { makeObject, makeRelease } from "../../../support/cluster/folder_site.ts";

// What Helm does with a template that has only texts: it renders, removes `<no value>`, and trims.
function render(template: string): string {
  return template.replace(/\{\{"([^"]*)"\}\}/g, "$1").replaceAll("<no value>", "").trim();
}

const templatesOf = (chart: Map<string, string>) => [...chart].filter(([path]) => path.startsWith("templates/"));

for (
  const [what, text] of [
    ["no metacharacter", "a: b"],
    ["an action", '{{ .Values.x }} {{- include "y" . -}}'],
    ["a comment", "{{/* x */}}"],
    ["more braces", "{{{ a }}} {{{{ b }}}} }} {"],
    ["braces at the end", "a {{"],
    ["an escaped action", '{{"{{"}}'],
    ["several lines", "a\n---\n{{ b }}\n"],
    ["empty lines at the end", "a\n\n\n"],
    ["what Helm removes", "<no value> <no <no value>value>"],
    ["both, and control characters", "<no value>\u0085\u2028\u0000\n\n"],
  ] as const
) {
  Deno.test(`formatHelmChart() renders the same objects with ${what} in a text`, () => {
    const release = makeRelease([
      makeObject("Secret/shop/a", { stringData: { a: text } }),
      makeObject("ConfigMap/shop/b", { data: { [text]: "b" } }),
    ]);
    const rendered = templatesOf(formatHelmChart(release)).map(([, template]) => parse(render(template)));
    assertEquals(rendered, packageObjects(release).map(({ object }) => object));
  });
}

Deno.test("formatHelmChart() has a template for each object, in their order, and Chart.yaml last", () => {
  const release = makeRelease([
    makeObject("Deployment/shop/web"),
    makeObject("ClusterRole/system:a/../b"),
    makeObject("Namespace/shop"),
  ], { version: "v1.2.0" });
  const chart = formatHelmChart(release);
  assertEquals([...chart.keys()].slice(-2), ["values.yaml", "Chart.yaml"]);
  const [namespace, role, deployment, ...others] = templatesOf(chart).map(([path]) => path);
  assertEquals([namespace, deployment, others], [
    "templates/0001-namespace-shop.yaml",
    "templates/0003-deployment-web.yaml",
    [],
  ]);
  assertMatch(role!, /^templates\/0002-clusterrole-[a-z0-9.-]+\.yaml$/);
  const { apiVersion, version } = parse(chart.get("Chart.yaml")!) as Record<string, unknown>;
  assertEquals([apiVersion, version], ["v2", "v1.2.0"]);
});
