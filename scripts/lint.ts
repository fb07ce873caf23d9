/**
 * The rules of CONTRIBUTING.md that a machine can hold, as a plugin of `deno lint`.
 *
 * @module
 */

/** Names that say nothing of what a file is about. */
const EMPTY_NAMES = ["index", "types", "utils", "util", "common", "helpers", "misc", "mod"];
const FILE_NAME = /^[a-z0-9]+(?:_[a-z0-9]+)*$/;
const MAX_PARAMETERS = 3;
// An action, `cannot("read x")`, and a reason alone, which a catcher completes, begin in lower case, or with a value.
const LOWER_CASE = /^(?:[a-z]|$)/;

// An argument before the message that a program reads: `BAD_GATEWAY`, `timeout`.
const ERROR_CODE = /^(?:[A-Z_]+|[a-z_-]+)$/;

// The documents of the two rooms are compared property by property.
const DROPS_UNDEFINED = /(?:^|\/)lib\/(?!oci\/|kubepkg\/)/;

/** Words and phrases that docs/GLOSSARY.md replaces. */
export const AVOIDED_WORDS: readonly string[] = [
  ...["whoever", "nobody", "somebody", "anybody", "lacking", "what came", "on its way", "on their way"],
  ...["go on with", "goes on with", "gone on with", "going on with", "went on with", "is to be had", "for want of"],
];
// A phrase may contain a line break, with the mark of a comment at the start of the next line.
const AVOIDED = new RegExp(`\\b(?:${AVOIDED_WORDS.join("|").replaceAll(" ", "\\s+(?:(?:\\*|//)\\s+)?")})\\b`, "i");

const TEST_FUNCTIONS = ["Deno.test", "peerTest"];

type FunctionNode =
  | Deno.lint.FunctionDeclaration
  | Deno.lint.FunctionExpression
  | Deno.lint.ArrowFunctionExpression;

const plugin: Deno.lint.Plugin = {
  name: "crpe",
  rules: {
    "file-name": {
      create(context) {
        return {
          Program(node) {
            const name = context.filename.split("/").at(-1)!.replace(/(?:\.d)?\.[jt]s$/, "");
            if (!FILE_NAME.test(name)) {
              context.report({ node, message: `The file name ${name} is not in snake_case` });
            } else if (EMPTY_NAMES.includes(name)) {
              context.report({
                node,
                message: `The file name ${name} says nothing: name the file after its main export`,
              });
            }
          },
        };
      },
    },
    "max-parameters": {
      create(context) {
        const check = (node: FunctionNode) => {
          // `this` is a declaration of a type, not a parameter.
          const parameters = node.params.filter((it) => !(it.type === "Identifier" && it.name === "this"));
          if (parameters.length <= MAX_PARAMETERS) return;
          context.report({
            node,
            message: `${parameters.length} parameters: at most ${MAX_PARAMETERS}, then an options object`,
          });
        };
        return { FunctionDeclaration: check, FunctionExpression: check, ArrowFunctionExpression: check };
      },
    },
    "error-wording": {
      create(context) {
        if (!/(?:^|\/)lib\//.test(context.filename)) return {};
        return {
          NewExpression(node) {
            if (node.callee.type !== "Identifier" || !/^(?:[A-Z]\w*)?Error$/.test(node.callee.name)) return;
            const start = node.arguments.map(textAtStart).find((text) => text !== undefined && !ERROR_CODE.test(text));
            if (start === undefined || LOWER_CASE.test(start)) return;
            context.report({
              node,
              message: `An error is made by cannot("verb object", "reason"), not of ${JSON.stringify(start)}`,
            });
          },
          CallExpression(node) {
            if (node.callee.type !== "Identifier" || node.callee.name !== "cannot") return;
            const [action] = node.arguments;
            const start = action && textAtStart(action);
            const isSplit = action === undefined || !context.sourceCode.getText(action).includes(": ");
            if (isSplit && (start === undefined || LOWER_CASE.test(start))) return;
            context.report({ node, message: "An action is a verb and its object; the reason is the second argument" });
          },
        };
      },
    },
    "conditional-spread": {
      create(context) {
        if (!DROPS_UNDEFINED.test(context.filename)) return {};
        return {
          SpreadElement(node) {
            const name = droppedProperty(node.argument);
            if (name === undefined || node.parent.type !== "ObjectExpression") return;
            // An undefined property would replace one of a spread before it.
            const { properties } = node.parent;
            const before = properties.slice(0, properties.indexOf(node));
            if (before.some((it) => it.type === "SpreadElement" && it.argument.type !== "ConditionalExpression")) {
              return;
            }
            context.report({ node, message: `An undefined property counts as absent: write ${name} alone` });
          },
        };
      },
    },
    "glossary": {
      create(context) {
        const check = (range: Deno.lint.Range, text: string) => {
          const [found] = AVOIDED.exec(text) ?? [];
          if (found === undefined) return;
          const words = found.replace(/\s+(?:(?:\*|\/\/)\s+)?/g, " ");
          context.report({ range, message: `docs/GLOSSARY.md has a better word than "${words}"` });
        };
        return {
          Program() {
            for (const { range, text } of listComments(context.sourceCode)) check(range, text);
          },
          // The names of tests. Other strings may be data.
          CallExpression(node) {
            const callee = context.sourceCode.getText(node.callee);
            const [name] = node.arguments;
            if (name === undefined || !TEST_FUNCTIONS.includes(callee)) return;
            if (name.type === "Literal" || name.type === "TemplateLiteral") {
              check(name.range, context.sourceCode.getText(name));
            }
          },
          Identifier(node) {
            if (AVOIDED_WORDS.includes(node.name)) check(node.range, node.name);
          },
        };
      },
    },
  },
};

export default plugin;

// The comments of a file. Line comments on consecutive lines are one comment, because a phrase may span them.
function listComments(code: Deno.lint.SourceCode): { range: Deno.lint.Range; text: string }[] {
  const joined: { type: "Line" | "Block"; range: Deno.lint.Range }[] = [];
  for (const { type, range } of code.getAllComments()) {
    const before = joined.at(-1);
    const isNext = type === "Line" && before?.type === type &&
      /^[ \t]*\r?\n[ \t]*$/.test(code.text.slice(before.range[1], range[0]));
    if (isNext) before.range = [before.range[0], range[1]];
    else joined.push({ type, range });
  }
  return joined.map(({ range }) => ({ range, text: code.text.slice(...range) }));
}

// The name in `...(name === undefined ? {} : { name })`.
function droppedProperty(spread: Deno.lint.Expression): string | undefined {
  if (spread.type !== "ConditionalExpression") return undefined;
  const { test, consequent, alternate } = spread;
  if (consequent.type !== "ObjectExpression" || consequent.properties.length > 0) return undefined;
  if (alternate.type !== "ObjectExpression" || alternate.properties.length !== 1) return undefined;
  const [property] = alternate.properties;
  if (property?.type !== "Property" || !property.shorthand || property.key.type !== "Identifier") return undefined;
  const { name } = property.key;
  const isSame = test.type === "BinaryExpression" && test.operator === "===" &&
    test.left.type === "Identifier" && test.left.name === name &&
    test.right.type === "Identifier" && test.right.name === "undefined";
  return isSame ? name : undefined;
}

// The text that an argument begins with; `undefined` where it is no text, or begins with a value.
function textAtStart(node: Deno.lint.Expression | Deno.lint.SpreadElement): string | undefined {
  if (node.type === "Literal") return typeof node.value === "string" ? node.value : undefined;
  if (node.type === "TemplateLiteral") return node.quasis[0]?.cooked;
  if (node.type === "BinaryExpression") return textAtStart(node.left as Deno.lint.Expression);
  return undefined;
}
