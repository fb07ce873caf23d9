import type { Command } from "./command_line/command.ts";
import { FLAG } from "./command_line/flags.ts";

/** `crpe receipt` and its subcommands. */
export const RECEIPT_COMMAND: Command = {
  name: "receipt",
  operands: "",
  summary: "list the receipts of imports; show one; verify one that a site has sent back",
  interrupted: "nothing was changed",
  details: "A receipt says what was imported where and when. The node signs it with its own key.",
  arity: [0, 0],
  flags: [FLAG.data, FLAG.store, FLAG.json],
  subcommands: [
    {
      name: "show",
      operands: "NAME",
      summary: "show the receipt of the last import or rollback of a package",
      interrupted: "nothing was changed",
      arity: [1, 1],
      flags: [FLAG.data, FLAG.store, FLAG.json],
      run: async (invocation, io) => (await import("./commands/receipt.ts")).runShowReceipt(invocation, io),
    },
    {
      name: "verify",
      operands: "FILE",
      summary: "verify the signature of a receipt: a file, or the text of a QR code; - reads standard input",
      interrupted: "nothing was changed",
      details: [
        "The public key is that of the node: crpe receipt key prints it there, and crpe inventory has it. Without it, the",
        "receipt is as its signer wrote it, with any key. The exit status is 4 if it was changed, 3 if another key signed it.",
      ].join("\n"),
      arity: [1, 1],
      flags: [
        { name: "public-key", value: "FILE", summary: "the public key (PEM) of the node, or its inventory" },
        FLAG.json,
      ],
      run: async (invocation, io) => (await import("./commands/receipt.ts")).runVerifyReceipt(invocation, io),
    },
    {
      name: "key",
      operands: "",
      summary: "print the public key (PEM) that verifies the receipts of this node",
      interrupted: "nothing was changed",
      arity: [0, 0],
      flags: [FLAG.data],
      run: async (invocation, io) => (await import("./commands/receipt.ts")).runReceiptKey(invocation, io),
    },
  ],
  run: async (invocation, io) => (await import("./commands/receipt.ts")).runListReceipts(invocation, io),
};
