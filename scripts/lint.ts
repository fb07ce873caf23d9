/**
 * The rules of CONTRIBUTING.md that a machine can hold, as a plugin of `deno lint`.
 *
 * @module
 */

/** Names that say nothing of what a file is about. */
const EMPTY_NAMES = ["index", "types", "utils", "util", "common", "helpers", "misc", "mod"];
const FILE_NAME = /^[a-z0-9]+(?:_[a-z0-9]+)*$/;
const MAX_PARAMETERS = 3;
// A reason alone, which the catcher completes, begins in lower case. The verb may be a value: `Cannot ${verb} …`.
const ERROR_TEXT = /^(?:Cannot(?: [a-z]| ?$)|[a-z]|$)/;

/** Words and phrases that docs/GLOSSARY.md replaces. */
export const AVOIDED_WORDS: readonly string[] = [
  ...["whoever", "nobody", "somebody", "anybody", "lacking", "what came", "on its way", "on their way"],
  ...["go on with", "goes on with", "gone on with", "going on with", "went on with", "is to be had", "for want of"],
];
const AVOIDED = new RegExp(`\\b(?:${AVOIDED_WORDS.join("|").replaceAll(" ", "\\s+(?:\\*\\s+|//\\s+)?")})\\b`, "i");

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
            const name = context.filename.split("/").at(-1)!.replace(/(?:\.d)?\.ts$/, "");
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
        if (!/\/lib\//.test(context.filename)) return {};
        return {
          NewExpression(node) {
            if (node.callee.type !== "Identifier" || !/^(?:[A-Z]\w*)?Error$/.test(node.callee.name)) return;
            const start = node.arguments.map(textAtStart).find((text) => text !== undefined && !/^[A-Z_]+$/.test(text));
            if (start === undefined || ERROR_TEXT.test(start)) return;
            context.report({
              node,
              message: `An error says "Cannot VERB OBJECT: reason", not ${JSON.stringify(start)}`,
            });
          },
        };
      },
    },
    "glossary": {
      create(context) {
        return {
          Program(node) {
            for (const comment of context.sourceCode.getAllComments()) {
              const [found] = AVOIDED.exec(comment.value) ?? [];
              if (found === undefined) continue;
              context.report({ node: comment ?? node, message: `docs/GLOSSARY.md has a better word than "${found}"` });
            }
          },
        };
      },
    },
  },
};

export default plugin;

// The text that an argument begins with; `undefined` where it is no text, or begins with a value.
function textAtStart(node: Deno.lint.Expression | Deno.lint.SpreadElement): string | undefined {
  if (node.type === "Literal") return typeof node.value === "string" ? node.value : undefined;
  if (node.type === "TemplateLiteral") return node.quasis[0]?.cooked;
  if (node.type === "BinaryExpression") return textAtStart(node.left as Deno.lint.Expression);
  return undefined;
}
