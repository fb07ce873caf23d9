import { MemoryStore } from "../../support/memory_store.ts";
import { testStoreContract } from "../../support/store_contract.ts";

testStoreContract("MemoryStore", () => {
  const store = new MemoryStore();
  return Promise.resolve(Object.assign(store, { [Symbol.asyncDispose]: () => Promise.resolve() }));
});
