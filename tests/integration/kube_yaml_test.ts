import { formatObjects } from "../../lib/install/handover/manifest_file.ts";
import type { KubeObject } from "../../lib/kubepkg/kubepkg.ts";
import { assertEquals } from "../support/assert.ts";
import { peerTest, runPeer } from "../support/peers.ts";
import { GO_YAML_ROWS } from "../unit/kubepkg/go_yaml_rows.ts";

interface ReadText {
  readonly value?: unknown;
  readonly error?: string;
  /** Why strict reading refuses it. */
  readonly strict?: string;
  readonly documents: readonly unknown[] | null;
}

/** Reads texts with the parser of Kubernetes. */
async function readAsKubernetes(texts: readonly string[]): Promise<ReadText[]> {
  const path = await Deno.makeTempFile({ suffix: ".json" });
  try {
    await Deno.writeTextFile(path, JSON.stringify(texts));
    const { code, stdout, stderr } = await runPeer("kube_yaml", [path]);
    assertEquals(code, 0, stderr);
    return JSON.parse(stdout);
  } finally {
    await Deno.remove(path);
  }
}

peerTest("[84] the table of YAML values is what the parser of Kubernetes reads", ["kube_yaml"], async () => {
  // Texts with several documents are split before the parser sees them.
  const rows = GO_YAML_ROWS.filter(([text]) => !/^(?:---|\.\.\.)/m.test(text));
  const found = await readAsKubernetes(rows.map(([text]) => text));
  const differences = rows.flatMap(([text, json], i) => {
    const { value, error, strict } = found[i]!;
    const isRefused = error !== undefined || json === undefined && strict !== undefined;
    const expected = json === undefined ? undefined : JSON.stringify(JSON.parse(json));
    const actual = isRefused ? undefined : JSON.stringify(value);
    return actual === expected ? [] : [{ text, expected, actual, error, strict }];
  });
  assertEquals(differences, []);
});

const STRINGS: readonly string[] = [
  ...[
    "",
    " ",
    "yes",
    "No",
    "on",
    "~",
    "null",
    "1",
    "0o17",
    "0777",
    "1e3",
    ".inf",
    "0x1f",
    "1_000",
    "12:30",
    "2024-01-15",
  ],
  ...[
    "<<",
    "=",
    "- a",
    "a: b",
    "#x",
    "a #b",
    "!x",
    "&a",
    "*a",
    "%a",
    "@a",
    "`a",
    "{",
    "[",
    "'",
    '"',
    "\\",
    "|",
    ">",
    "?",
  ],
  ...["\n", "\r\n", "a\nb", "a\n\nb\n", "\ta", "a ", " a", "\u0085", "\u2028", "\ufeff", "\u0000", "\u0007", "\u001b"],
  ...["\u007f", "\u00a0", "é", "\u{1f600}", "\ufffe", "\ud7ff", "\ue000", "---", "...", "--- a", "a".repeat(5000)],
  `#!/bin/sh\nset -eu\n\n  echo "$1" | sed 's/\\/x/'\n\t# tab\n`,
];
const NUMBERS = [0, -0, 1, -1, 1.5, 1e21, 1e-7, 2 ** 53 - 1, -(2 ** 53) + 1, 0.1 + 0.2, 1e100];

peerTest("[84] the hand-over file is what the parser of Kubernetes reads back", ["kube_yaml"], async () => {
  const objects: KubeObject[] = [
    ...STRINGS.map((text, i): KubeObject => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: `s${i}`, annotations: { [text.slice(0, 60)]: text } },
      data: { plain: text, list: [text, [text, { [text.slice(0, 60)]: [] }]] },
    })),
    { apiVersion: "v1", kind: "Numbers", spec: { numbers: NUMBERS, flags: [true, false, null, {}, [], ""] } },
    { apiVersion: "v1", kind: "Keys", spec: { ["k".repeat(2000)]: 1, "1": 2, true: 3, "a.b/c": 4 } },
  ];
  const found = await readAsKubernetes(objects.map((object) => formatObjects([object])));
  const differences = objects.flatMap((object, i) => {
    const { documents, error } = found[i]!;
    const [expected, actual] = [object, documents?.at(-1)].map((it) => JSON.stringify(sorted(it)));
    return actual === expected && error === undefined ? [] : [{ expected, actual, error }];
  });
  assertEquals(differences, []);
});

// Go sorts the keys of objects, and has no negative zero in JSON.
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? 0 : value;
  return Object.fromEntries(
    Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([key, it]) => [key, sorted(it)]),
  );
}
