/** Quotes an operand in an error, without what stands before an @: it may be a password. */
export function quoteOperand(text: string): string {
  return JSON.stringify(text.replace(/[^/]*@/g, "…@"));
}
