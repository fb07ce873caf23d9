import type { Verdict } from "../../kubepkg/version.ts";

const VERBS: Readonly<Record<Verdict, readonly [plan: string, done: string]>> = {
  install: ["install", "installed"],
  upgrade: ["upgrade", "upgraded"],
  downgrade: ["downgrade", "downgraded"],
  changed: ["replace", "replaced"],
  same: ["reinstall", "reinstalled"],
};

/** Says what an import does with a release, or would do: `upgraded`, `would upgrade`. A repair changes no version. */
export function formatVerdict(
  verdict: Verdict,
  { isRepair, isDryRun }: { readonly isRepair: boolean; readonly isDryRun: boolean },
): string {
  const [plan, done] = isRepair ? ["repair", "repaired"] : VERBS[verdict];
  return isDryRun ? `would ${plan}` : done!;
}

/** Reports whether the answer of an agent is a verdict. */
export function isVerdict(value: unknown): value is Verdict {
  return typeof value === "string" && Object.hasOwn(VERBS, value);
}
