import { html } from "./preact.js";
import { encode } from "./uqr.js";

/** Draws a text as a QR code: dark on light in both themes, because some readers need that. */
export function Qr({ text, label }) {
  const { data, size } = encode(text, { border: 0 });
  const path = data.flatMap((row, y) => row.map((isDark, x) => isDark ? `M${x} ${y}h1v1h-1z` : "")).join("");
  return html`
    <svg class="qr" viewBox=${`0 0 ${size} ${size}`} role="img" aria-label=${label} shape-rendering="crispEdges">
      <path d=${path} />
    </svg>
  `;
}
