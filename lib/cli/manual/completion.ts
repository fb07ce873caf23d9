import type { Command, Flag } from "../command_line/command.ts";
import { quoteForShell as quote } from "../console/quote_for_shell.ts";
import { kindOfValue, listCommands, listFlags, type ValueKind } from "./list_commands.ts";

/** The shells that a completion can be made for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** The name of a shell. */
export type Shell = (typeof SHELLS)[number];

/** Formats the completion of crpe's command line for a shell. It needs no other file, and does not run crpe. */
export function formatCompletion(shell: Shell, commands: readonly Command[]): string {
  const lines = { bash: formatBash, zsh: formatZsh, fish: formatFish }[shell](commands);
  return lines.map((line) => `${line}\n`).join("");
}

const names = (commands: readonly Command[]) => commands.map(({ name }) => name).join(" ");

function spellings({ name, short }: Flag): string[] {
  return short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`];
}

function formatBash(commands: readonly Command[]): string[] {
  const all = listCommands(commands);
  return [
    "# Completion of crpe for bash. Load it with: source <(crpe completion bash)",
    "_crpe() {",
    "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command= i",
    "  # bash splits --flag=value at the equals sign.",
    "  [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD - 2]}",
    "  [[ $cur == = ]] && prev=${COMP_WORDS[COMP_CWORD - 1]} cur=",
    "  for ((i = 1; i < COMP_CWORD; i++)); do",
    '    case "$command${command:+ }${COMP_WORDS[i]}" in',
    `      ${all.map(({ name }) => quote(name)).join(" | ")}) command+="\${command:+ }\${COMP_WORDS[i]}" ;;`,
    "    esac",
    "  done",
    "  COMPREPLY=()",
    '  case "$command" in',
    `    '') mapfile -t COMPREPLY < <(compgen -W ${quote(`${names(commands)} help --help --version`)} -- "$cur") ;;`,
    ...all.flatMap(({ name, command }) => [
      `    ${quote(name)})`,
      '      case "$prev" in',
      ...listFlags(command).filter(({ value }) => value !== undefined).map((flag) =>
        `        ${spellings(flag).join(" | ")}) ${bashWords(kindOfValue(flag.value!, flag.values))} return ;;`
      ),
      "      esac",
      "      if [[ $cur == -* ]]; then",
      `        mapfile -t COMPREPLY < <(compgen -W ${
        quote(listFlags(command).flatMap(spellings).join(" "))
      } -- "$cur")`,
      `      else`,
      `        ${bashWords(kindOfOperand(command)) || ":"}`,
      "      fi ;;",
    ]),
    "  esac",
    "}",
    "complete -o filenames -F _crpe crpe",
  ];
}

// A command with subcommands is completed with their names.
function kindOfOperand({ operands, values, subcommands }: Command): ValueKind {
  return subcommands === undefined ? kindOfValue(operands, values) : subcommands.map(({ name }) => name);
}

function bashWords(kind: ValueKind): string {
  if (kind === "none") return "";
  const action = kind === "file" ? "-f" : kind === "folder" ? "-d" : `-W ${quote(kind.join(" "))}`;
  return `mapfile -t COMPREPLY < <(compgen ${action} -- "$cur");`;
}

function formatZsh(commands: readonly Command[]): string[] {
  return [
    "#compdef crpe",
    "# Completion of crpe for zsh. Save it as _crpe in a folder of $fpath, or load it with: source <(crpe completion zsh)",
    ...zshFunction("_crpe", { commands, flags: [] }),
    ...listCommands(commands).flatMap(({ name, command }) => {
      const own = zshName(name);
      if (command.subcommands !== undefined) {
        return zshFunction(own, { commands: command.subcommands, flags: listFlags(command) });
      }
      return [`${own}() {`, "  _arguments -s \\", ...zshArguments(command), "}"];
    }),
    '[[ $funcstack[1] == _crpe ]] && _crpe "$@" || compdef _crpe crpe',
  ];
}

const zshName = (name: string) => `_crpe_${name.replaceAll(/[ -]/g, "_")}`;

function zshFunction(
  name: string,
  { commands, flags }: { readonly commands: readonly Command[]; readonly flags: readonly Flag[] },
): string[] {
  const prefix = name === "_crpe" ? "" : `${name.slice("_crpe_".length)} `;
  return [
    `${name}() {`,
    "  local state line",
    "  local -a commands",
    "  _arguments -C -s \\",
    ...flags.map((flag) => `    ${zshFlag(flag)} \\`),
    "    '1: :->command' '*:: :->rest'",
    "  case $state in",
    "    command)",
    "      commands=(",
    ...commands.map((command) => `        ${quote(`${command.name}:${command.summary}`)}`),
    "      )",
    "      _describe command commands ;;",
    "    rest)",
    "      case $words[1] in",
    ...commands.map((command) => `        ${command.name}) ${zshName(`${prefix}${command.name}`)} ;;`),
    "      esac ;;",
    "  esac",
    "}",
  ];
}

function zshArguments(command: Command): string[] {
  const label = command.operands.replaceAll(/[[\]:…]/g, "").trim();
  const operand = label === "" ? [] : [`    ${quote(`*:${label}:${zshAction(kindOfOperand(command))}`)}`];
  const lines = [...listFlags(command).map((flag) => `    ${zshFlag(flag)}`), ...operand];
  return lines.map((line, i) => i === lines.length - 1 ? line : `${line} \\`);
}

function zshFlag({ name, short, value, values, summary, isRepeatable }: Flag): string {
  const text = `[${summary.replaceAll(/[[\]\\:]/g, "\\$&")}]`;
  const rest = value === undefined
    ? ""
    : `:${value.replaceAll(/[[\]:]/g, " ")}:${zshAction(kindOfValue(value, values))}`;
  const long = `--${name}${value === undefined ? "" : "="}`;
  const spec = `${text}${rest}`;
  if (short === undefined) return quote(`${isRepeatable ? "*" : ""}${long}${spec}`);
  return `'(-${short} --${name})'{-${short}${value === undefined ? "" : "+"},${long}}${quote(spec)}`;
}

function zshAction(kind: ValueKind): string {
  if (kind === "none") return " ";
  return kind === "file" ? "_files" : kind === "folder" ? "_files -/" : `(${kind.join(" ")})`;
}

function formatFish(commands: readonly Command[]): string[] {
  const known = listCommands(commands).map(({ name }) => name);
  return [
    "# Completion of crpe for fish. Save it as crpe.fish in ~/.config/fish/completions.",
    "function __crpe_command",
    "    set -l found",
    "    for word in (commandline -opc)[2..]",
    "        switch (string join ' ' -- $found $word)",
    `            case ${known.map(quote).join(" ")}`,
    "                set -a found $word",
    "        end",
    "    end",
    "    string join ' ' -- $found",
    "end",
    "complete -c crpe -f",
    ...fishWords("", commands),
    ...listCommands(commands).flatMap(({ name, command }) => [
      ...fishWords(name, command.subcommands ?? []),
      ...fishOperand(name, command),
      ...listFlags(command).map((flag) => fishFlag(name, flag)),
    ]),
  ];
}

const fishIs = (name: string) => `complete -c crpe -n 'test "$(__crpe_command)" = "${name}"'`;
const fishQuote = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

function fishWords(name: string, commands: readonly Command[]): string[] {
  return commands.map((command) => `${fishIs(name)} -a ${command.name} -d ${fishQuote(command.summary)}`);
}

function fishOperand(name: string, command: Command): string[] {
  const kind = kindOfValue(command.operands, command.values);
  if (command.subcommands !== undefined || kind === "none") return [];
  return [`${fishIs(name)} ${fishAction(kind)}`];
}

function fishFlag(command: string, { name, short, value, values, summary }: Flag): string {
  const spelling = `-l ${name}${short === undefined ? "" : ` -s ${short}`}`;
  const action = value === undefined ? "" : ` -x ${fishAction(kindOfValue(value, values))}`.trimEnd();
  return `${fishIs(command)} ${spelling}${action.replace(" -x -F", " -r -F")} -d ${fishQuote(summary)}`;
}

function fishAction(kind: ValueKind): string {
  if (kind === "none") return "";
  return kind === "file"
    ? "-F"
    : kind === "folder"
    ? "-a '(__fish_complete_directories)'"
    : `-a ${fishQuote(kind.join(" "))}`;
}
