import { formatReport } from "../../../../lib/cli/serving/release_sync.ts";
import { assertEquals } from "../../../support/assert.ts";

for (
  const [namespace, action, message] of [
    ["default", "publish", "web@1.0.0 is reported to the other servers"],
    ["shop", "publish", "shop/web@1.0.0 is reported to the other servers"],
    ["shop", "write file", "shop/web@1.0.0, which server n2 installed, is handed over here too"],
    [
      "shop",
      "remove file",
      "the manifests of shop/web are removed from this server, because server n2 removed the package",
    ],
    ["shop", "publish removal", "the removal of shop/web@1.0.0 is reported to the other servers"],
  ] as const
) {
  Deno.test(`ReleaseSync logs the namespace of a package: ${action} of ${namespace}/web`, () => {
    const report = { package: { namespace, name: "web" }, action, version: "1.0.0", node: "n2" };
    assertEquals(formatReport(report), message);
  });
}
