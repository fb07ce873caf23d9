// What a site sends back: its inventory, and the receipts of its packages.
import { html, useEffect, useRef, useState } from "./preact.js";
import { get } from "./api.js";
import { Notice, useWork } from "./parts.js";
import { Qr } from "./qr.js";
import { S } from "./strings.js";

const T = S.site;
const DATE_LENGTH = "2026-11-28".length;
// What is no letter in the name of a node or a package may not be in the name of a file.
const fileName = (...parts) => `${parts.join("-").replace(/[^A-Za-z0-9._-]+/g, "_")}.json`;

/** The section with the inventory of an agent. */
export function Inventory({ node, onError }) {
  return html`
    <section>
      <h2>${T.inventory}</h2>
      <p class="soft">${T.inventoryHelp}</p>
      <div class="buttons"><a class="button quiet" href="/inventory" download=${fileName(
        "inventory",
        node,
        new Date().toISOString().slice(0, DATE_LENGTH),
      )}>${T.download}</a></div>
      <${Code} label=${T.inventoryCode} read=${async () => (await get("/api/inventory")).code} onError=${onError} />
    </section>
  `;
}

/** The receipt of an installed package. */
export function Receipt({ one: { name, namespace, version }, onError }) {
  const path = `/kubepkgs/${encodeURIComponent(name)}/receipt?namespace=${encodeURIComponent(namespace)}`;
  const [signer, setSigner] = useState();
  // The digests have no room in a QR code; their list has a digest.
  const read = async () => {
    const { digests, images: _, ...receipt } = await get(path);
    setSigner(receipt.signature?.split(" ")[0]);
    return JSON.stringify({ ...receipt, count: digests.length });
  };
  return html`
    <details>
      <summary>${T.receipt}</summary>
      <div class="buttons"><a class="button quiet" href=${path} download=${fileName("receipt", name, version)}
        aria-label=${T.downloadReceipt(name)}>${T.download}</a></div>
      <${Code} label=${T.receiptCode(name)} read=${read} onError=${onError} />
      ${signer && html`<p class="soft break">${T.signedBy(signer)}</p>`}
    </details>
  `;
}

function Code({ label, read, onError }) {
  const { state, run } = useWork(onError);
  const show = () => run(async () => ({ text: await read() }));
  const code = useRef(undefined);
  // A camera needs all of it.
  useEffect(() => code.current?.scrollIntoView({ block: "center" }), [state.text]);
  if (state.text !== undefined) {
    return html`
      <div class="code" ref=${code}>
        <${Qr} text=${state.text} label=${label} />
      </div>
      <details>
        <summary>${T.text}</summary>
        <p class="soft break">${state.text}</p>
      </details>
    `;
  }
  return html`
    ${state.error && html`<${Notice} kind="bad">${state.error.message}<//>`}
    <div class="buttons"><button class="quiet" aria-label=${`${T.showCode}: ${label}`} onClick=${show}>${T
      .showCode}</button></div>
  `;
}
